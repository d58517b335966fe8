// Holds the simulator against the lines of `lockgate-pairs`: configurations, requests and what the engine answers
// natively. The same in Node and in a browser.

/** The lines of a text that comes in pieces. */
export async function* linesOf(pieces) {
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop();
    yield* lines;
  }
  if (rest !== "") throw new Error(`the pairs end within a line: ${rest.slice(0, 100)}`);
}

/**
 * How many answers were the same, byte for byte; throws at the first that is not. Each explanation is shown to `look`.
 */
export async function compare({ Simulator }, lines, look = () => {}) {
  const figures = { configurations: 0, refused: 0, pairs: 0, seen: null };
  let [engine, configuration, index] = [null, null, 0];
  const same = (what, here, natively) => {
    if (here === natively) return;
    const at = [...natively].findIndex((character, place) => character !== here[place]);
    throw new Error(
      `configuration ${configuration}, ${what}, from character ${at === -1 ? natively.length : at}:\n` +
        `natively: ${natively}\nhere:     ${here}`,
    );
  };
  try {
    for await (const line of lines) {
      const { seen, ...given } = JSON.parse(line);
      if (seen !== undefined) {
        figures.seen = seen;
      } else if (given.files !== undefined) {
        engine?.free();
        engine = new Simulator(given.files, given.options);
        [configuration, index] = [given.configuration, 0];
        same("its diagnostics", JSON.stringify(engine.diagnostics), given.diagnostics);
        same("its snapshot", String(engine.snapshot ?? null), String(given.snapshot));
        figures[given.snapshot === null ? "refused" : "configurations"] += 1;
      } else {
        const request = { ...given.request, entropy: BigInt(given.request.entropy) };
        const named = `request ${(index += 1)} ${JSON.stringify(given.request)}`;
        const [explanation, verdict] = answers(engine, request);
        same(named, explanation, given.answer ?? given.error);
        const verdictThere = given.answer === undefined ? given.error : JSON.stringify(JSON.parse(given.answer).verdict);
        same(`${named}, its verdict`, verdict, verdictThere);
        if (given.answer !== undefined) look(JSON.parse(given.answer), named);
        figures.pairs += 1;
      }
    }
  } finally {
    engine?.free();
  }
  if (figures.seen === null) throw new Error("the pairs end before their last line");
  return figures;
}

/** What is said of a request, or what is wrong with it. */
function answers(engine, request) {
  return ["explain", "decide"].map((ask) => {
    try {
      return JSON.stringify(engine[ask](request));
    } catch (error) {
      return error.message;
    }
  });
}
