// A gateway of this build, with the page in it.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const STARTS_MS = 20_000;

/** Serves `files` by name; `admin` is the address of its admin port. */
export async function startGateway(files, env = {}) {
  const program = process.env.LOCKGATE;
  if (!program) throw new Error("set LOCKGATE to the gateway's program; `cargo xtask test` does so");
  const folder = await mkdtemp(join(tmpdir(), "lockgate-playground-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const options = ["--listen", "80=127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--access-log", join(folder, "access.log")];
  const child = spawn(program, ["serve", "-f", folder, ...options], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const ended = new Promise((resolve) => child.once("close", resolve));
  const admin = new Promise((resolve, reject) => {
    const hear = (chunk) => {
      said += chunk;
      const address = /"message":"admin port","address":"([^"]+)"/.exec(said)?.[1];
      if (address !== undefined) resolve(address);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", reject);
    ended.then((status) => reject(new Error(`the gateway ended with ${status}:\n${said}`)));
    setTimeout(() => reject(new Error(`the gateway does not start:\n${said}`)), STARTS_MS).unref();
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return { admin: await admin, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
