//! The test agent: `review_code` parses code with tree-sitter and checks it. It never runs what it receives.
//!
//! `language` finds out what the code is written in, `syntax` parses and measures, `checks` holds the rules.

mod checks;
mod language;
mod syntax;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SOURCE;
use super::material::Material;
use super::skill::{Skill, StandInResult, Words};
use super::words::count_of;
use crate::limits;
use checks::{Issue, Severity};
use language::Source;
use syntax::Metrics;

/// The skills of the test agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![Skill::new::<Input, Review>(
        Words {
            id: "review_code",
            name: "Review code",
            description: "Parses Python, Rust, JavaScript or Bash and reports syntax errors, risky constructs and metrics with a verdict",
            tags: &["review", "testing", "code-generation"],
            examples: &["Review this function: def f(x): return eval(x)", "Does this Rust code parse?"],
            prompt: include_str!("prompts/review_code.md"),
        },
        review_code,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["code"]}, {"required": ["text"]}]))]
struct Input {
    /// Source text, a fenced block, or the object `generate_code` returns.
    code: Option<Material>,
    /// The same, as text workflows name it.
    text: Option<Material>,
    /// The language; found out from the code if it is not given.
    language: Option<String>,
    /// What the code should do; repeated in the review.
    requirements: Option<Material>,
}

/// A review.
#[derive(Serialize, JsonSchema)]
struct Review {
    /// `approved`, `approved_with_suggestions` or `changes_requested`.
    verdict: String,
    /// 100 without findings; errors cost 25, warnings 8, hints 2.
    score: u32,
    /// The verdict in a sentence.
    summary: String,
    /// The language that was parsed.
    language: String,
    /// Whether the code parses without errors.
    syntax_ok: bool,
    /// Findings in the order of their lines.
    issues: Vec<Issue>,
    /// How many findings there are, also those not listed.
    issue_count: usize,
    /// Sizes.
    metrics: Metrics,
    /// What the code was asked to do, if that was given.
    requirements: Option<String>,
    /// Who made this review.
    source: String,
    /// What the review covers.
    note: String,
}

fn review_code(input: Input) -> StandInResult<Review> {
    let material = Material::first(&[&input.code, &input.text]).ok_or("`code` is empty; give source text")?;
    let source = Source::read(material, input.language.as_deref())?;
    let tree = source.language.parse(&source.code).ok_or("the parser gave up on this code; review a smaller part")?;
    let (metrics, mut issues) = syntax::measure(&tree, &source);
    issues.extend(checks::run(&tree, &source));
    issues.sort_by_key(|issue| (issue.line, issue.column, issue.rule));
    let count = |severity| issues.iter().filter(|issue| issue.severity == severity).count();
    let (errors, warnings, hints) = (count(Severity::Error), count(Severity::Warning), count(Severity::Hint));
    let cost = errors.saturating_mul(25) + warnings.saturating_mul(8) + hints.saturating_mul(2);
    let verdict = match (errors, warnings) {
        (0, 0) => "approved",
        (0, _) => "approved_with_suggestions",
        _ => "changes_requested",
    };
    let issue_count = issues.len();
    issues.truncate(limits::SAMPLE_LIST_MAX);
    Ok(Review {
        verdict: verdict.to_owned(),
        score: 100 - u32::try_from(cost.min(100)).unwrap_or(100),
        summary: format!(
            "{} in {} of {}: {}, {}, {}",
            count_of(metrics.functions, "function"),
            count_of(metrics.lines, "line"),
            source.language.id,
            count_of(errors, "error"),
            count_of(warnings, "warning"),
            count_of(hints, "hint"),
        ),
        language: source.language.id.to_owned(),
        syntax_ok: metrics.syntax_errors == 0,
        issues,
        issue_count,
        metrics,
        requirements: input.requirements.as_ref().map(|requirements| super::words::shorten(&requirements.text(), 2_000)),
        source: SOURCE.to_owned(),
        note: format!("This review comes from the {SOURCE}: the code was parsed and checked by rules, not run"),
    })
}

#[cfg(test)]
mod tests;
