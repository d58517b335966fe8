export { version } from "../pkg/simulator.js";
