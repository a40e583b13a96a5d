//! The figures of a table. Pure arithmetic on columns that `table` has read.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::words::{rounded, shorten};
use super::table::{Cells, Table, is_missing, number};
use crate::limits;

/// Values of a column that are listed as most frequent.
const TOP_VALUES: usize = 5;

/// One column and its figures.
#[derive(Serialize, JsonSchema)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// `number`, `integer`, `boolean`, `date`, `text` or `empty`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// Cells with a value.
    pub(super) count: usize,
    /// Cells without one.
    pub(super) missing: usize,
    /// Different values.
    pub(super) distinct: usize,
    /// The most frequent values.
    pub(super) top_values: Vec<TopValue>,
    /// Figures, if all values are numbers.
    pub(super) numbers: Option<Numbers>,
}

/// A value and how often it occurs.
#[derive(Serialize, JsonSchema)]
pub(super) struct TopValue {
    /// The value as written.
    pub(super) value: String,
    /// How often.
    pub(super) count: usize,
}

/// Figures of a numeric column.
#[derive(Serialize, JsonSchema)]
pub(super) struct Numbers {
    /// Smallest.
    pub(super) min: f64,
    /// Largest.
    pub(super) max: f64,
    /// Sum.
    pub(super) sum: f64,
    /// Arithmetic mean.
    pub(super) mean: f64,
    /// Middle value.
    pub(super) median: f64,
    /// Sample standard deviation; null for a single value.
    pub(super) stddev: Option<f64>,
    /// First quartile.
    pub(super) q1: f64,
    /// Third quartile.
    pub(super) q3: f64,
}

/// How two numeric columns vary together.
#[derive(Serialize, JsonSchema)]
pub(super) struct Correlation {
    /// One column.
    pub(super) left: String,
    /// The other.
    pub(super) right: String,
    /// Pearson's coefficient, -1 to 1.
    pub(super) coefficient: f64,
    /// Rows in which both have a value.
    pub(super) rows: usize,
}

/// A value more than 1.5 interquartile ranges outside the quartiles.
#[derive(Serialize, JsonSchema)]
pub(super) struct Outlier {
    /// The column.
    pub(super) column: String,
    /// The row, counted from 1 without the header.
    pub(super) row: usize,
    /// The value.
    pub(super) value: f64,
}

/// Describes one column.
pub(super) fn column(cells: &Cells) -> Column {
    let present: Vec<&str> = cells.cells.iter().map(String::as_str).filter(|cell| !is_missing(cell)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in &present {
        *counts.entry(value).or_default() += 1;
    }
    let distinct = counts.len();
    let mut top: Vec<(&str, usize)> = counts.into_iter().collect();
    top.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let kind = kind(&present);
    Column {
        name: cells.name.clone(),
        kind: kind.to_owned(),
        count: present.len(),
        missing: cells.cells.len() - present.len(),
        distinct,
        top_values: top.into_iter().take(TOP_VALUES).map(|(value, count)| TopValue { value: shorten(value, 200), count }).collect(),
        numbers: matches!(kind, "number" | "integer").then(|| figures(&numbers(cells))),
    }
}

/// Pearson's coefficient for each pair of numeric columns, strongest first.
pub(super) fn correlations(table: &Table) -> Vec<Correlation> {
    let numeric: Vec<(&Cells, Vec<Option<f64>>)> = table
        .columns
        .iter()
        .filter(|cells| is_numeric(cells))
        .map(|cells| (cells, cells.cells.iter().map(|cell| number(cell)).collect()))
        .collect();
    let mut found = Vec::new();
    for (index, (left, left_values)) in numeric.iter().enumerate() {
        for (right, right_values) in &numeric[index + 1..] {
            let pairs: Vec<(f64, f64)> =
                left_values.iter().zip(right_values).filter_map(|(left, right)| Some(((*left)?, (*right)?))).collect();
            if let Some(coefficient) = pearson(&pairs) {
                let coefficient = rounded(coefficient);
                found.push(Correlation { left: left.name.clone(), right: right.name.clone(), coefficient, rows: pairs.len() });
            }
        }
    }
    found.sort_by(|a, b| b.coefficient.abs().total_cmp(&a.coefficient.abs()));
    found.truncate(limits::SAMPLE_LIST_MAX);
    found
}

/// Values far from the middle of their column, in columns with enough values to say so.
pub(super) fn outliers(table: &Table, columns: &[Column]) -> Vec<Outlier> {
    let mut found = Vec::new();
    for (cells, column) in table.columns.iter().zip(columns) {
        let Some(figures) = column.numbers.as_ref().filter(|_| column.count >= 4) else { continue };
        let reach = 1.5 * (figures.q3 - figures.q1);
        let far = |value: f64| value < figures.q1 - reach || value > figures.q3 + reach;
        let rows = cells.cells.iter().enumerate().filter_map(|(index, cell)| Some((index + 1, number(cell)?)));
        found.extend(rows.filter(|&(_, value)| far(value)).map(|(row, value)| Outlier { column: column.name.clone(), row, value }));
    }
    found.truncate(limits::SAMPLE_LIST_MAX);
    found
}

/// The numbers of a column.
pub(super) fn numbers(cells: &Cells) -> Vec<f64> {
    cells.cells.iter().filter_map(|cell| number(cell)).collect()
}

fn is_numeric(cells: &Cells) -> bool {
    let mut present = cells.cells.iter().filter(|cell| !is_missing(cell)).peekable();
    present.peek().is_some() && present.all(|cell| number(cell).is_some())
}

fn kind(present: &[&str]) -> &'static str {
    let all = |holds: fn(&str) -> bool| present.iter().all(|cell| holds(cell));
    if present.is_empty() {
        "empty"
    } else if all(|cell| matches!(cell.to_ascii_lowercase().as_str(), "true" | "false" | "yes" | "no")) {
        "boolean"
    } else if all(|cell| cell.parse::<i64>().is_ok()) {
        "integer"
    } else if all(|cell| number(cell).is_some()) {
        "number"
    } else if all(is_date) {
        "date"
    } else {
        "text"
    }
}

/// `2026-11-23`, alone or with a time after it.
fn is_date(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    bytes.len() >= 10
        && bytes[..10].iter().enumerate().all(|(index, byte)| if index == 4 || index == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
        && bytes.get(10).is_none_or(|byte| matches!(byte, b'T' | b' '))
}

fn figures(values: &[f64]) -> Numbers {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    let sum: f64 = sorted.iter().sum();
    let mean = sum / count(sorted.len());
    let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
    Numbers {
        min: rounded(sorted[0]),
        max: rounded(sorted[sorted.len() - 1]),
        sum: rounded(sum),
        mean: rounded(mean),
        median: rounded(quantile(&sorted, 0.5)),
        stddev: (sorted.len() > 1).then(|| rounded((squares / count(sorted.len() - 1)).sqrt())),
        q1: rounded(quantile(&sorted, 0.25)),
        q3: rounded(quantile(&sorted, 0.75)),
    }
}

/// By linear interpolation between the neighbours, as spreadsheets do.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * count(sorted.len() - 1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the slice")]
    let low = place.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (place - place.floor())
}

fn pearson(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.len() < 3 {
        return None;
    }
    let rows = count(pairs.len());
    let (left_mean, right_mean) =
        (pairs.iter().map(|pair| pair.0).sum::<f64>() / rows, pairs.iter().map(|pair| pair.1).sum::<f64>() / rows);
    let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
    for pair in pairs {
        let (x, y) = (pair.0 - left_mean, pair.1 - right_mean);
        both += x * y;
        left += x * x;
        right += y * y;
    }
    let coefficient = both / (left.sqrt() * right.sqrt());
    coefficient.is_finite().then(|| coefficient.clamp(-1.0, 1.0))
}

#[expect(clippy::cast_precision_loss, reason = "no table has 2^52 rows")]
fn count(number: usize) -> f64 {
    number as f64
}
