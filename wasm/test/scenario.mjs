export function scenario({ version }) {
  return { version: version() };
}
