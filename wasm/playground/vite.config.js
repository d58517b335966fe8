import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Every address is relative, so that the page works in whatever folder it is served from.
  base: "./",
  resolve: {
    alias: [
      { find: "@lockgate/simulator", replacement: here("../js/web.js") },
      // The engine built for speed, where the package has the one built for size.
      { find: "../pkg/simulator.js", replacement: here("pkg/simulator.js") },
    ],
  },
  // The examples and the engine are files of the repository, not copies.
  server: { fs: { allow: [here("../..")] } },
  worker: { format: "es" },
  build: {
    outDir: "dist/page",
    emptyOutDir: true,
    target: "es2022",
    // Data URLs would need room in the content security policy.
    assetsInlineLimit: 0,
    // The few modules that are loaded later are loaded by hand.
    modulePreload: false,
    reportCompressedSize: false,
    // In one piece what the first verdict waits for.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{ name: "start", test: /preload-helper|src\/(main|engine|place)\.ts/ }],
        },
      },
    },
    chunkSizeWarningLimit: 700,
  },
});
