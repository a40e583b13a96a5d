//! `analyze_sentiment`: the VADER lexicon, sentence by sentence.

use schemars::JsonSchema;
use serde::Serialize;
use vader_sentiment::SentimentIntensityAnalyzer;

use super::super::SOURCE;
use super::super::words::{rounded, sentences, shorten};
use crate::limits;

/// Scores closer to 0 than this are neutral, as the lexicon's authors recommend.
const NEUTRAL: f64 = 0.05;

/// How positive or negative a text is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sentiment {
    /// `positive`, `negative` or `neutral`.
    pub(super) label: String,
    /// From -1 (most negative) to 1 (most positive): the mean of the sentences.
    pub(super) compound: f64,
    /// Share of positive words.
    pub(super) positive: f64,
    /// Share of neutral words.
    pub(super) neutral: f64,
    /// Share of negative words.
    pub(super) negative: f64,
    /// How many sentences there are.
    pub(super) sentence_count: usize,
    /// The sentences, the first ones if there are many.
    pub(super) sentences: Vec<Sentence>,
    /// Who made this analysis.
    pub(super) source: String,
}

/// One sentence and its score.
#[derive(Serialize, JsonSchema)]
pub(super) struct Sentence {
    /// The sentence.
    pub(super) text: String,
    /// Its label.
    pub(super) label: String,
    /// Its score.
    pub(super) compound: f64,
}

struct Scores {
    compound: f64,
    positive: f64,
    neutral: f64,
    negative: f64,
}

/// Analyses a text.
pub(super) fn analyze(text: &str) -> Sentiment {
    let analyzer = SentimentIntensityAnalyzer::new();
    let scored: Vec<(&str, Scores)> = sentences(text).into_iter().map(|sentence| (sentence, score(&analyzer, sentence))).collect();
    let mean = |value: fn(&Scores) -> f64| {
        // A text without sentences (symbols only) says nothing either way.
        let sum: f64 = scored.iter().map(|(_, scores)| value(scores)).sum();
        #[expect(clippy::cast_precision_loss, reason = "no text has 2^52 sentences")]
        let count = scored.len().max(1) as f64;
        rounded(sum / count)
    };
    let compound = mean(|scores| scores.compound);
    Sentiment {
        label: label(compound).to_owned(),
        compound,
        positive: mean(|scores| scores.positive),
        neutral: mean(|scores| scores.neutral),
        negative: mean(|scores| scores.negative),
        sentence_count: scored.len(),
        sentences: scored
            .iter()
            .take(limits::SAMPLE_LIST_MAX)
            .map(|(text, scores)| Sentence {
                text: shorten(text, 300),
                label: label(scores.compound).to_owned(),
                compound: rounded(scores.compound),
            })
            .collect(),
        source: SOURCE.to_owned(),
    }
}

fn score(analyzer: &SentimentIntensityAnalyzer<'_>, sentence: &str) -> Scores {
    let scores = analyzer.polarity_scores(sentence);
    let of = |name: &str| scores.get(name).copied().filter(|score| score.is_finite()).unwrap_or(0.0);
    Scores { compound: of("compound"), positive: of("pos"), neutral: of("neu"), negative: of("neg") }
}

fn label(compound: f64) -> &'static str {
    if compound >= NEUTRAL {
        "positive"
    } else if compound <= -NEUTRAL {
        "negative"
    } else {
        "neutral"
    }
}
