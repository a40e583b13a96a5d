//! Answers simple questions about a table: "average of price", "how many rows", "highest sales".
//!
//! A question these figures do not answer is said to be one; nothing is guessed.

use super::super::words;
use super::describe::{self, Column};
use super::table::Table;

/// The figure a word asks for.
#[derive(Clone, Copy)]
enum Figure {
    Mean,
    Median,
    Sum,
    Max,
    Min,
    Count,
    Stddev,
    Distinct,
}

const FIGURES: &[(Figure, &str, &[&str])] = &[
    (Figure::Mean, "mean", &["average", "mean", "avg"]),
    (Figure::Median, "median", &["median"]),
    (Figure::Sum, "sum", &["sum", "total"]),
    (Figure::Max, "maximum", &["max", "maximum", "highest", "largest", "most", "biggest", "greatest"]),
    (Figure::Min, "minimum", &["min", "minimum", "lowest", "smallest", "least"]),
    (Figure::Stddev, "standard deviation", &["stddev", "deviation", "spread"]),
    (Figure::Distinct, "number of different values", &["distinct", "unique", "different"]),
    (Figure::Count, "number of values", &["count", "many", "number"]),
];

/// The answer, or a sentence that says what can be asked.
pub(super) fn answer(question: &str, table: &Table, columns: &[Column]) -> String {
    answer_if_asked(question, table, columns).unwrap_or_else(|| {
        let names: Vec<_> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
        format!(
            "The offline stand-in cannot answer this from the figures; ask for the mean, median, sum, maximum, minimum, deviation or count of a column: {}",
            words::shorten(&names.join(", "), 500)
        )
    })
}

/// The answer, if the words ask for a figure of a column that has it.
pub(super) fn answer_if_asked(question: &str, table: &Table, columns: &[Column]) -> Option<String> {
    let asked = words::words(question);
    let (figure, name, _) = FIGURES.iter().find(|(_, _, cues)| asked.iter().any(|word| cues.contains(&word.as_str())))?;
    if matches!(figure, Figure::Count) && asked.iter().any(|word| matches!(word.as_str(), "rows" | "records" | "entries" | "lines")) {
        return Some(format!("There are {}", words::count_of(table.row_count, "row")));
    }
    let (index, column) = column_asked(&asked, columns)?;
    let numbers = column.numbers.as_ref();
    let value = match figure {
        Figure::Mean => numbers?.mean,
        Figure::Median => numbers?.median,
        Figure::Sum => numbers?.sum,
        Figure::Max => numbers?.max,
        Figure::Min => numbers?.min,
        Figure::Stddev => numbers?.stddev?,
        Figure::Count => return Some(format!("`{}` has {}", column.name, words::count_of(column.count, "value"))),
        Figure::Distinct => return Some(format!("`{}` has {}", column.name, words::count_of(column.distinct, "different value"))),
    };
    let row = match figure {
        Figure::Max | Figure::Min => row_of(table, index, value),
        _ => String::new(),
    };
    Some(format!("The {name} of `{}` is {value}{row}", column.name))
}

/// The column a question names; the only numeric one if it names none.
fn column_asked<'a>(asked: &[String], columns: &'a [Column]) -> Option<(usize, &'a Column)> {
    let named = columns.iter().enumerate().find(|(_, column)| {
        let name = words::words(&column.name.replace('_', " "));
        !name.is_empty() && name.iter().all(|part| asked.iter().any(|word| words::stem(word) == words::stem(part)))
    });
    named.or_else(|| {
        let mut numeric = columns.iter().enumerate().filter(|(_, column)| column.numbers.is_some());
        let only = numeric.next()?;
        numeric.next().is_none().then_some(only)
    })
}

/// Where an extreme value stands, with the row's first cell if that says more.
fn row_of(table: &Table, index: usize, value: f64) -> String {
    let wanted = |cell: &String| super::table::number(cell).is_some_and(|number| words::rounded(number) == value);
    match table.columns[index].cells.iter().position(wanted) {
        Some(row) if index > 0 && describe::numbers(&table.columns[0]).is_empty() => {
            format!(" (row {}, {})", row + 1, words::shorten(&table.columns[0].cells[row], 100))
        }
        Some(row) => format!(" (row {})", row + 1),
        None => String::new(),
    }
}
