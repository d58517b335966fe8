// The editor: one view, and for each file its own text, history and findings.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { HighlightStyle, bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic as Finding, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, RangeSetBuilder, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Diagnostic } from "@lockgate/simulator";
import { type Place, lastLineOfBlock, offsetOf } from "./place";
import { complete } from "./schema";
import type { File } from "./workspace";

/** What a line of the trace is about. */
interface Mark {
  from: number;
  to: number;
  /** The field in it that did not match. */
  field: { from: number; to: number } | null;
}

const setMark = StateEffect.define<Mark | null>();

const marked = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    let next = marks.map(transaction.changes);
    for (const effect of transaction.effects) if (effect.is(setMark)) next = decorate(transaction.state, effect.value);
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

const BLOCK = Decoration.line({ class: "cm-caused" });
const FIELD = Decoration.mark({ class: "cm-caused-field" });

function decorate(state: EditorState, mark: Mark | null): DecorationSet {
  const builder = new RangeSetBuilder<Decoration>();
  if (mark === null) return Decoration.none;
  for (let at = mark.from; at <= mark.to; ) {
    const line = state.doc.lineAt(at);
    builder.add(line.from, line.from, BLOCK);
    if (mark.field !== null && mark.field.from >= line.from && mark.field.to <= line.to) {
      builder.add(mark.field.from, mark.field.to, FIELD);
    }
    at = line.to + 1;
  }
  return builder.finish();
}

const COLOURS = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: "var(--code-key)" },
  { tag: tags.string, color: "var(--code-text)" },
  { tag: [tags.content, tags.attributeValue], color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: "var(--code-word)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.separator, tags.punctuation, tags.squareBracket, tags.brace, tags.meta], color: "var(--code-mark)" },
  { tag: [tags.labelName, tags.typeName], color: "var(--code-word)" },
]);

/** The colours come from the page, through the shadow root. */
const LOOK = EditorView.theme({
  "&": { height: "100%", backgroundColor: "var(--editor)", color: "var(--text)", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { padding: "10px 0 40vh", caretColor: "var(--text)" },
  ".cm-line": { padding: "0 16px 0 6px" },
  ".cm-gutters": { backgroundColor: "var(--editor)", color: "var(--faint)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 14px", minWidth: "34px" },
  ".cm-gutter-lint": { width: "12px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "0" },
  ".cm-lint-marker": { width: "8px", height: "8px", marginTop: "0.55em", borderRadius: "50%", content: "''" },
  ".cm-lint-marker-error": { content: "''", backgroundColor: "var(--refuse)" },
  ".cm-lint-marker-warning": { content: "''", backgroundColor: "var(--ask)" },
  ".cm-activeLine": { backgroundColor: "var(--active-line)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--active-line)", color: "var(--muted)" },
  ".cm-cursor": { borderLeftColor: "var(--text)", borderLeftWidth: "1.5px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  ".cm-selectionMatch": { backgroundColor: "var(--selection)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)", outline: "none" },
  ".cm-caused": { backgroundColor: "var(--caused)", boxShadow: "inset 3px 0 var(--accent)" },
  ".cm-caused-field": { backgroundColor: "var(--caused-field)", borderRadius: "2px" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--refuse) 1.2px", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--ask) 1.2px", textUnderlineOffset: "3px" },
  ".cm-lintPoint:after": { borderBottomColor: "var(--refuse)" },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "8px",
    boxShadow: "var(--shadow)", fontFamily: "var(--sans)", fontSize: "13px", overflow: "hidden",
  },
  ".cm-diagnostic": { padding: "8px 12px", borderLeft: "3px solid var(--ask)", maxWidth: "56ch" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--refuse)" },
  ".cm-diagnosticSource": { color: "var(--muted)", fontSize: "12px", opacity: "1" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "13px", maxHeight: "15em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "3px 10px", lineHeight: "1.45" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected] .cm-completionDetail": { color: "var(--on-accent)" },
  ".cm-completionDetail": { color: "var(--muted)", fontStyle: "normal", fontSize: "12px" },
  ".cm-completionIcon": { display: "none" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "600" },
  ".cm-tooltip.cm-completionInfo": { padding: "8px 12px", maxWidth: "38ch", lineHeight: "1.45" },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--text)", borderColor: "var(--line)" },
  ".cm-panels.cm-panels-bottom": { borderTop: "1px solid var(--line)" },
  ".cm-panel.cm-search": { padding: "8px 10px" },
  ".cm-textfield": { backgroundColor: "var(--field)", color: "var(--text)", border: "1px solid var(--field-line)", borderRadius: "6px", padding: "3px 8px" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--field)", color: "var(--text)", border: "1px solid var(--field-line)", borderRadius: "6px" },
});

export class Editor {
  #view: EditorView;
  #states = new Map<string, EditorState>();
  #current = "";
  #extensions: Extension;

  constructor(host: HTMLElement, changed: (file: string, text: string) => void) {
    // In a shadow root the editor's styles are constructed sheets, which the page's policy allows; elsewhere they would
    // be inline.
    const root = host.attachShadow({ mode: "open" });
    this.#extensions = [
      lineNumbers(),
      lintGutter(),
      highlightSpecialChars(),
      history(),
      drawSelection(),
      EditorState.allowMultipleSelections.of(true),
      bracketMatching(),
      closeBrackets(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      highlightSelectionMatches(),
      search({ top: false }),
      yaml(),
      indentUnit.of("  "),
      EditorState.tabSize.of(2),
      syntaxHighlighting(COLOURS),
      autocompletion({ override: [complete], icons: false }),
      keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap]),
      marked,
      LOOK,
      EditorView.contentAttributes.of({ "aria-label": "YAML of this file", spellcheck: "false", tabindex: "0" }),
      EditorView.updateListener.of((update) => {
        if (!update.docChanged) return;
        changed(this.#current, update.state.doc.toString());
      }),
    ];
    this.#view = new EditorView({ parent: root, root });
  }

  /** Forgets all files and takes these. */
  load(files: File[]) {
    this.#states = new Map(files.map((file) => [file.name, this.#state(file.text)]));
    this.#current = "";
  }

  show(name: string) {
    if (name === this.#current) return;
    this.#keep();
    this.#current = name;
    this.#view.setState(this.#states.get(name) ?? this.#state(""));
  }

  rename(from: string, to: string) {
    this.#keep();
    const state = this.#states.get(from);
    this.#states.delete(from);
    if (state !== undefined) this.#states.set(to, state);
    if (this.#current === from) this.#current = to;
  }

  delete(name: string) {
    this.#states.delete(name);
    if (this.#current === name) this.#current = "";
  }

  /** Underlines what is wrong in the file that is shown. */
  underline(findings: Diagnostic[]) {
    const doc = this.#view.state.doc;
    const position = (line: number, column: number) => {
      const at = doc.line(Math.min(Math.max(line, 1), doc.lines));
      return Math.min(at.from + offsetOf(at.text, column), at.to);
    };
    const here = findings.filter(({ file }) => file === this.#current).map((finding): Finding => {
      const from = position(finding.line, finding.column);
      return {
        from,
        to: Math.max(from, position(finding.endLine, finding.endColumn)),
        severity: finding.severity,
        message: finding.help === undefined ? finding.message : `${finding.message}\n${finding.help}`,
        source: finding.code,
      };
    });
    this.#view.dispatch(setDiagnostics(this.#view.state, here));
  }

  /** Shows a place of the file that is shown, and the block that begins there. */
  jump(place: Place, options: { field?: string | undefined; block: boolean }) {
    const { state } = this.#view;
    const line = state.doc.line(Math.min(Math.max(place.line, 1), state.doc.lines));
    const at = Math.min(line.from + offsetOf(line.text, place.column), line.to);
    const lines = state.doc.toString().split("\n");
    const last = options.block ? lastLineOfBlock(lines, line.number, place.column) : line.number;
    const end = state.doc.line(Math.min(last, state.doc.lines)).to;
    let field: Mark["field"] = null;
    if (options.field !== undefined) {
      const found = state.sliceDoc(line.from, end).search(new RegExp(`\\b${escape(options.field)}\\b`));
      if (found >= 0) field = { from: line.from + found, to: line.from + found + options.field.length };
    }
    this.#view.dispatch({
      selection: { anchor: field?.from ?? at },
      effects: [
        setMark.of({ from: line.from, to: end, field }),
        EditorView.scrollIntoView(at, { y: "start", yMargin: 60 }),
      ],
    });
    this.#view.focus();
  }

  focus() {
    this.#view.focus();
  }

  #keep() {
    if (this.#current !== "") this.#states.set(this.#current, this.#view.state);
  }

  #state(doc: string): EditorState {
    return EditorState.create({ doc, extensions: this.#extensions });
  }
}

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
