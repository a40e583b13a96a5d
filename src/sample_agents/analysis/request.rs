//! `analyze_request`: what a request asks for, with the words that say so. Routers switch on `category`.

use schemars::JsonSchema;
use serde::Serialize;

use super::super::SOURCE;
use super::super::brief::Brief;
use super::super::words::{rounded, shorten, stem, words};

/// What a request may ask for, and the words for it: strong ones count three, weak ones one.
const CATEGORIES: &[(&str, &[&str], &[&str])] = &[
    (
        "code_generation",
        &[
            "code",
            "function",
            "program",
            "script",
            "algorithm",
            "implement",
            "class",
            "api",
            "refactor",
            "compile",
            "unittest",
            "regex",
            "cli",
            "library",
            "endpoint",
            "parser",
            "python",
            "rust",
            "javascript",
            "typescript",
            "java",
            "golang",
            "c++",
            "c#",
            "bash",
            "sql",
            "fibonacci",
            "prime",
            "factorial",
            "fizzbuzz",
            "palindrome",
        ],
        &["build", "create", "write", "generate", "calculate", "sort", "bug", "develop", "module", "method", "app", "tool", "number"],
    ),
    (
        "data_analysis",
        &[
            "data",
            "dataset",
            "csv",
            "statistic",
            "correlation",
            "average",
            "mean",
            "median",
            "spreadsheet",
            "outlier",
            "trend",
            "regression",
            "histogram",
            "table",
            "column",
            "metric",
            "forecast",
            "deviation",
            "quantile",
        ],
        &[
            "analyze", "analyse", "analysis", "number", "compare", "sales", "revenue", "row", "sum", "chart", "insight", "figure",
            "report", "value",
        ],
    ),
    (
        "content_creation",
        &[
            "article",
            "blog",
            "post",
            "essay",
            "story",
            "poem",
            "newsletter",
            "email",
            "tweet",
            "slogan",
            "headline",
            "content",
            "copywriting",
            "letter",
            "speech",
            "announcement",
            "linkedin",
            "press",
        ],
        &[
            "write",
            "draft",
            "compose",
            "creative",
            "describe",
            "summarize",
            "summarise",
            "edit",
            "create",
            "tone",
            "audience",
            "marketing",
            "report",
            "about",
        ],
    ),
];

/// Least score for a category.
const SCORE_MIN: f64 = 2.0;

/// What a request asks for.
#[derive(Serialize, JsonSchema)]
pub(super) struct Request {
    /// `code_generation`, `data_analysis`, `content_creation` or `unknown`.
    pub(super) category: String,
    /// From 0 to 1: the category's share of all evidence.
    pub(super) confidence: f64,
    /// The words that speak for the category.
    pub(super) evidence: Vec<String>,
    /// All categories with their scores.
    pub(super) scores: Vec<Score>,
    /// The programming language, if the request names one.
    pub(super) language: Option<String>,
    /// What it is about, in a few words.
    pub(super) subject: String,
    /// Who made this analysis.
    pub(super) source: String,
}

/// A category and its score.
#[derive(Serialize, JsonSchema)]
pub(super) struct Score {
    /// The category.
    pub(super) category: String,
    /// Points.
    pub(super) score: f64,
}

/// Analyses a request.
pub(super) fn analyze(text: &str) -> Request {
    let start = shorten(text, 20_000);
    let brief = Brief::read(&start);
    let asked = words(&start);
    let mut found: Vec<(&str, f64, Vec<String>)> =
        CATEGORIES.iter().map(|(name, strong, weak)| weigh(name, strong, weak, &asked)).collect();
    let tabular = looks_tabular(text);
    if tabular {
        found[1].1 += 4.0;
        found[1].2.push("rows of values".to_owned());
    }
    let total: f64 = found.iter().map(|(_, score, _)| score).sum();
    let scores = found.iter().map(|(name, score, _)| Score { category: (*name).to_owned(), score: *score }).collect();
    // The first of equals wins, so that the order of the table decides ties.
    let best = found.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (category, confidence, evidence) = match best {
        Some((name, score, evidence)) if score >= SCORE_MIN => (name, rounded(score / total), evidence),
        _ => ("unknown", 0.0, Vec::new()),
    };
    Request {
        category: category.to_owned(),
        confidence,
        evidence,
        scores,
        language: brief.language.map(|language| language.id.to_owned()),
        subject: brief.subject,
        source: SOURCE.to_owned(),
    }
}

fn weigh(name: &'static str, strong: &[&str], weak: &[&str], asked: &[String]) -> (&'static str, f64, Vec<String>) {
    let (mut score, mut evidence) = (0.0, Vec::<String>::new());
    for word in asked {
        let means = |cues: &[&str]| cues.iter().any(|cue| word == cue || (word.len() > 3 && stem(word) == stem(cue)));
        let points = if means(strong) {
            3.0
        } else if means(weak) {
            1.0
        } else {
            continue;
        };
        // A word counts once, however often it is said.
        if !evidence.contains(word) {
            score += points;
            evidence.push(word.clone());
        }
    }
    (name, score, evidence)
}

/// Two lines that follow each other with the same number of commas, tabs or semicolons, or a JSON array.
fn looks_tabular(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(50).collect();
    let alike = |mark: char| {
        lines.windows(2).any(|pair| pair[0].matches(mark).count() > 0 && pair[0].matches(mark).count() == pair[1].matches(mark).count())
    };
    alike(',') || alike('\t') || alike(';') || text.contains("[{\"") || text.contains("[[")
}
