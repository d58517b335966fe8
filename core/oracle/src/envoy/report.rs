//! The figures as a part of a page.

use super::comparison::{Disagreement, Figures, Plan};
use super::departures::DEPARTURES;

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// The page with its figures replaced.
///
/// # Errors
/// The page has no place for them.
pub fn into_page(page: &str, plan: &Plan, figures: &Figures) -> Result<String, String> {
    let place = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) = place.ok_or_else(|| format!("the page has no `{BEGIN}` … `{END}`"))?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", tables(plan, figures)))
}

/// The figures as Markdown.
#[must_use]
pub fn tables(plan: &Plan, figures: &Figures) -> String {
    let mut out = format!(
        "{} requests, {} to each of {} configurations, seed {}: **{} disagreements**.\n\n",
        figures.pairs(),
        plan.requests,
        plan.sets,
        plan.seed,
        figures.disagreements.len()
    );
    out += "| both the same | requests |\n| --- | ---: |\n";
    for (kind, count) in &figures.same {
        out += &format!("| {kind} | {count} |\n");
    }
    out += "\n| meant to differ | what | why | requests |\n| --- | --- | --- | ---: |\n";
    for departure in DEPARTURES {
        let count = figures.departed.get(departure.name).copied().unwrap_or(0);
        out += &format!(
            "| {} | {} | {} | {count} |\n",
            departure.name, departure.what, departure.why
        );
    }
    out
}

/// One disagreement, with everything that it takes to see it again.
#[must_use]
pub fn disagreement(one: &Disagreement) -> String {
    format!(
        "envoy:    {:?}\nlockgate: {:?}\nfrom {} to {}\n{}\n{}",
        one.envoy,
        one.lockgate,
        one.request.from,
        one.request.to,
        one.request.bytes().escape_ascii(),
        one.resources
    )
}
