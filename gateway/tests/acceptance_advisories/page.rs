//! The page that says which test shows what.

use std::path::Path;

/// Lines of the table, each with its cells.
fn rows() -> Vec<Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/advisories.md");
    let text = std::fs::read_to_string(page).expect("the page");
    let lines = text.lines().filter_map(|line| line.strip_prefix("| "));
    lines
        .map(|line| line.trim_end_matches(" |").split(" | ").map(str::to_owned).collect())
        .filter(|cells: &Vec<String>| cells[0].bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}

#[test]
fn every_row_has_its_line_and_every_test_that_is_named_exists() {
    let rows = rows();
    let numbers: Vec<String> = rows.iter().map(|cells| cells[0].clone()).collect();
    let wanted: Vec<String> = (1..=103).map(|row| row.to_string()).collect();
    assert_eq!(numbers, wanted);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for cells in &rows {
        assert_eq!(cells.len(), 4, "{cells:?}");
        let proof = &cells[3];
        // Every second piece stands in back-ticks: `file::test`.
        let tests: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(
            !tests.is_empty() || proof.starts_with("none: "),
            "row {}: {proof}",
            cells[0]
        );
        for test in tests {
            let (file, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("no test: {test}"));
            let text = std::fs::read_to_string(root.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            assert!(
                text.contains(&format!("fn {name}(")),
                "row {}: no `{name}` in {file}",
                cells[0]
            );
        }
    }
}
