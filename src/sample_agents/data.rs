//! The data agent: `analyze_data` describes a table given as CSV or JSON.
//!
//! All figures are calculated; nothing is guessed. `table` reads, `describe` calculates, `question` answers simple questions.

mod describe;
mod question;
mod table;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::material::Material;
use super::skill::{Skill, StandInResult, Words};
use super::{SOURCE, words};
use describe::{Column, Correlation, Outlier};
use table::Table;

/// The skills of the data agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![Skill::new::<Input, Analysis>(
        Words {
            id: "analyze_data",
            name: "Analyze data",
            description: "Describes a CSV or JSON table: types, counts, missing values, statistics, correlations and outliers",
            tags: &["data", "statistics"],
            examples: &["Analyze this data: month,sales\\njan,10\\nfeb,12", "What is the average of price in this CSV?"],
            prompt: include_str!("prompts/analyze_data.md"),
        },
        analyze_data,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["data"]}, {"required": ["text"]}, {"required": ["request"]}]))]
struct Input {
    /// CSV text with a header, or JSON: an array of objects, an array of numbers, or an object of arrays. Words around it are allowed.
    data: Option<Material>,
    /// The same, as text workflows name it.
    text: Option<Material>,
    /// The same, as routers name it.
    request: Option<Material>,
    /// Something to find out, such as "average of price".
    question: Option<String>,
}

/// What a table holds.
#[derive(Serialize, JsonSchema)]
struct Analysis {
    /// The main facts in a sentence or two.
    summary: String,
    /// How the data was written: `csv`, `json` or `numbers`.
    format: String,
    /// How many rows there are, without the header.
    row_count: usize,
    /// How many columns there are.
    column_count: usize,
    /// Each column with its figures.
    columns: Vec<Column>,
    /// Pairs of numeric columns, strongest first.
    correlations: Vec<Correlation>,
    /// Values far outside the middle half of their column.
    outliers: Vec<Outlier>,
    /// The answer to the question, if one was asked and these figures answer it.
    answer: Option<String>,
    /// Who made this analysis.
    source: String,
}

fn analyze_data(input: Input) -> StandInResult<Analysis> {
    let material = Material::first(&[&input.data, &input.text, &input.request]).ok_or("`data` is empty; give CSV text or JSON")?;
    let table = Table::read(material.value())?;
    let columns: Vec<Column> = table.columns.iter().map(describe::column).collect();
    let correlations = describe::correlations(&table);
    let outliers = describe::outliers(&table, &columns);
    let asked = input.question.as_deref().filter(|question| !question.trim().is_empty());
    let answer = match asked {
        Some(question) => Some(question::answer(question, &table, &columns)),
        None => material
            .value()
            .as_str()
            .and_then(|text| question::answer_if_asked(&text[..table.prose_bytes.min(text.len())], &table, &columns)),
    };
    Ok(Analysis {
        summary: summary(&table, &columns, &correlations, outliers.len()),
        format: table.format.to_owned(),
        row_count: table.row_count,
        column_count: columns.len(),
        columns,
        correlations,
        outliers,
        answer,
        source: SOURCE.to_owned(),
    })
}

fn summary(table: &Table, columns: &[Column], correlations: &[Correlation], outliers: usize) -> String {
    let numeric = columns.iter().filter(|column| column.numbers.is_some()).count();
    let missing: usize = columns.iter().map(|column| column.missing).sum();
    let mut summary = format!(
        "{} and {}, {numeric} of them numeric; {missing} missing, {}.",
        words::count_of(table.row_count, "row"),
        words::count_of(columns.len(), "column"),
        words::count_of(outliers, "outlier"),
    );
    for column in columns.iter().filter(|column| column.numbers.is_some()).take(3) {
        if let Some(numbers) = &column.numbers {
            summary.push_str(&format!(" `{}`: mean {}, from {} to {}.", column.name, numbers.mean, numbers.min, numbers.max));
        }
    }
    if let Some(strongest) = correlations.first().filter(|pair| pair.coefficient.abs() >= 0.5) {
        summary.push_str(&format!(" `{}` and `{}` correlate ({}).", strongest.left, strongest.right, strongest.coefficient));
    }
    summary
}

#[cfg(test)]
mod tests;
