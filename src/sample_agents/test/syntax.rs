//! Syntax errors and sizes of parsed code.
//!
//! Trees are walked with a cursor, never by recursion, because hostile code nests deeply.

use schemars::JsonSchema;
use serde::Serialize;
use tree_sitter::{Node, Tree};

use super::checks::{Issue, Severity};
use super::language::Source;

/// Lines after which a function is called long.
const FUNCTION_LINES_MAX: usize = 60;
/// Levels after which nesting is called deep.
const NESTING_MAX: usize = 4;
/// Characters after which a line is called long.
const LINE_CHARS_MAX: usize = 140;

/// Sizes of a piece of code.
#[derive(Serialize, JsonSchema)]
pub(super) struct Metrics {
    /// All lines.
    pub(super) lines: usize,
    /// Lines that hold more than blanks.
    pub(super) code_lines: usize,
    /// Comments.
    pub(super) comments: usize,
    /// Functions and methods.
    pub(super) functions: usize,
    /// Lines of the longest function.
    pub(super) longest_function_lines: usize,
    /// Deepest nesting of branches and loops.
    pub(super) max_nesting: usize,
    /// Places that do not parse.
    pub(super) syntax_errors: usize,
}

/// Measures the code and reports what is wrong with its syntax and sizes.
pub(super) fn measure(tree: &Tree, source: &Source) -> (Metrics, Vec<Issue>) {
    let mut issues = long_lines(&source.code);
    let mut metrics = Metrics {
        lines: source.code.lines().count(),
        code_lines: source.code.lines().filter(|line| !line.trim().is_empty()).count(),
        comments: 0,
        functions: 0,
        longest_function_lines: 0,
        max_nesting: 0,
        syntax_errors: 0,
    };
    let grammar = source.language;
    let nests = |node: Node<'_>| grammar.nests.contains(&node.kind()) && node.parent().is_none_or(|parent| parent.kind() != "else_clause");
    let mut deep_reported_until = 0;
    walk(tree, nests, |node, nesting| {
        if node.is_error() || node.is_missing() {
            metrics.syntax_errors += 1;
            issues.push(syntax_error(node, &source.code));
        }
        if node.kind().contains("comment") {
            metrics.comments += 1;
        }
        if grammar.functions.contains(&node.kind()) {
            let lines = node.end_position().row - node.start_position().row + 1;
            metrics.functions += 1;
            metrics.longest_function_lines = metrics.longest_function_lines.max(lines);
            if lines > FUNCTION_LINES_MAX {
                issues.push(Issue::at(node, Severity::Hint, "long-function", format!("this function has {lines} lines; split it")));
            }
        }
        metrics.max_nesting = metrics.max_nesting.max(nesting);
        if nesting > NESTING_MAX && node.start_byte() >= deep_reported_until {
            deep_reported_until = node.end_byte();
            issues.push(Issue::at(
                node,
                Severity::Warning,
                "deep-nesting",
                format!("{nesting} levels of branches and loops; return early or extract a function"),
            ));
        }
    });
    (metrics, issues)
}

/// How many places do not parse.
pub(super) fn error_count(tree: &Tree) -> usize {
    let mut count = 0;
    walk(tree, |_| false, |node, _| count += usize::from(node.is_error() || node.is_missing()));
    count
}

/// Visits every node before its children, with the number of nesting nodes around and including it.
pub(super) fn walk<'tree>(tree: &'tree Tree, nests: impl Fn(Node<'tree>) -> bool, mut visit: impl FnMut(Node<'tree>, usize)) {
    let mut cursor = tree.walk();
    let (mut levels, mut nesting) = (Vec::new(), 0_usize);
    loop {
        let nested = nests(cursor.node());
        nesting += usize::from(nested);
        visit(cursor.node(), nesting);
        levels.push(nested);
        if cursor.goto_first_child() {
            continue;
        }
        loop {
            nesting -= usize::from(levels.pop().unwrap_or(false));
            if cursor.goto_next_sibling() {
                break;
            }
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

fn syntax_error(node: Node<'_>, code: &str) -> Issue {
    let message = if node.is_missing() {
        format!("`{}` is missing here", node.kind())
    } else {
        let found = code.get(node.byte_range()).unwrap_or_default().lines().next().unwrap_or_default();
        format!("this does not parse: `{}`", super::super::words::shorten(found.trim(), 40))
    };
    Issue::at(node, Severity::Error, "syntax-error", message)
}

fn long_lines(code: &str) -> Vec<Issue> {
    let lines = code.lines().enumerate().map(|(index, line)| (index + 1, line.chars().count()));
    lines
        .filter(|&(_, chars)| chars > LINE_CHARS_MAX)
        .map(|(line, chars)| Issue {
            severity: Severity::Hint,
            rule: "long-line",
            message: format!("{chars} characters; break the line"),
            line,
            column: LINE_CHARS_MAX + 1,
        })
        .collect()
}
