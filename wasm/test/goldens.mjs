// The repository's golden scenarios: their files here, and what the simulator makes of them, in Node and in a browser.

/** What `lockgate test -o json` says of each golden scenario, by its file. */
export function reports({ Simulator }, goldens) {
  return goldens.map(({ file, files }) => {
    const simulator = new Simulator(files);
    try {
      const { diagnostics, ...report } = simulator.test();
      return { file, diagnostics: simulator.diagnostics.filter(({ severity }) => severity === "error"), report };
    } finally {
      simulator.free();
    }
  });
}
