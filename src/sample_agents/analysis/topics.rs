//! `classify_topics`: a small taxonomy scored by the words that speak for each topic, and keywords by frequency.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::super::SOURCE;
use super::super::words::{is_stop_word, rounded, stem, words};

/// Topics below this share of all evidence are left out.
const SHARE_MIN: f64 = 0.1;
/// Longer runs of letters are no words of a language.
const WORD_BYTES_MAX: usize = 80;
/// Keywords listed.
const KEYWORDS_MAX: usize = 10;

/// Topics and the words that speak for them.
const TAXONOMY: &[(&str, &str)] = &[
    (
        "technology",
        "ai algorithm android app apple artificial automation chip cloud code computer cybersecurity data database developer device digital google hardware internet laptop machine-learning microsoft model network phone platform processor programming robot server smartphone software startup tech technology web workflow agent rust python",
    ),
    (
        "business",
        "acquisition brand business ceo client company competitor contract corporate customer deal employee enterprise founder growth industry launch logistics management manager market marketing merger office partner product profit retail revenue sales shareholder strategy supplier",
    ),
    (
        "finance",
        "asset bank bond budget credit crypto currency debt dividend dollar earnings economy euro fund inflation insurance interest invest investment investor loan mortgage portfolio price recession share stock tax trading wage",
    ),
    (
        "politics",
        "ballot campaign candidate congress constitution democracy diplomat election government law legislation mayor minister parliament party policy political politician president protest referendum reform sanction senate senator treaty vote voter",
    ),
    (
        "health",
        "cancer care clinic clinical diagnosis diet disease doctor drug epidemic fitness health healthcare hospital infection medical medicine mental nurse nutrition pandemic patient surgery symptom therapy treatment vaccine virus wellness",
    ),
    (
        "science",
        "astronomy atom biology cell chemistry discovery dna energy experiment galaxy gene genome hypothesis laboratory molecule nasa nature particle physics planet quantum research researcher rocket satellite science scientist space species study telescope theory",
    ),
    (
        "sports",
        "athlete ball baseball basketball champion championship club coach cup cricket fifa football game goal golf league marathon match medal nba nfl olympic player race referee score season soccer sport stadium swim team tennis tournament",
    ),
    (
        "entertainment",
        "actor album artist band celebrity cinema comedy concert director drama fashion festival film game hollywood movie museum music musician netflix novel opera painting show singer song stage star streaming television theatre",
    ),
    (
        "education",
        "campus class classroom college course curriculum degree education exam graduate homework kindergarten learning lecture lesson literacy professor pupil scholarship school student study teacher teaching training tuition tutor university",
    ),
    (
        "travel",
        "airline airport beach booking cruise destination flight holiday hotel itinerary journey luggage passenger passport resort sightseeing ticket tour tourism tourist train travel traveler trip vacation visa",
    ),
    (
        "food",
        "bake baking beer bread breakfast cafe cheese chef chocolate coffee cook cooking cuisine delicious dessert dinner dish flavor food fruit ingredient kitchen lunch meal meat menu recipe restaurant salad spice sugar taste tea vegan vegetable wine",
    ),
    (
        "environment",
        "biodiversity carbon climate conservation deforestation drought earthquake ecosystem emission environment flood forest fossil glacier greenhouse habitat hurricane ocean plastic pollution rain rainforest recycling renewable solar storm sustainability sustainable warming weather wildfire wildlife wind",
    ),
];

/// What a text is about.
#[derive(Serialize, JsonSchema)]
pub(super) struct Topics {
    /// The first topic, or `general`.
    pub(super) primary: String,
    /// Topics, strongest first.
    pub(super) topics: Vec<Topic>,
    /// Telling words and pairs of words, most frequent first.
    pub(super) keywords: Vec<Keyword>,
    /// Words that were counted, without those that carry no topic.
    pub(super) words_counted: usize,
    /// Who made this analysis.
    pub(super) source: String,
}

/// A topic with its evidence.
#[derive(Serialize, JsonSchema)]
pub(super) struct Topic {
    /// Its name.
    pub(super) topic: String,
    /// Its share of all evidence, 0 to 1.
    pub(super) score: f64,
    /// The words of the text that speak for it.
    pub(super) evidence: Vec<String>,
}

/// A word and how often it occurs.
#[derive(Serialize, JsonSchema)]
pub(super) struct Keyword {
    /// The word as first met, in lower case.
    pub(super) word: String,
    /// How often, in all its forms.
    pub(super) count: usize,
}

/// Classifies a text.
pub(super) fn classify(text: &str) -> Topics {
    let all = words(text);
    let telling: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|word| word.len() <= WORD_BYTES_MAX && !is_stop_word(word) && word.contains(char::is_alphabetic))
        .collect();
    let topics = topics(&telling);
    Topics {
        primary: topics.first().map_or_else(|| "general".to_owned(), |topic| topic.topic.clone()),
        topics,
        keywords: keywords(&telling),
        words_counted: telling.len(),
        source: SOURCE.to_owned(),
    }
}

fn topics(telling: &[&str]) -> Vec<Topic> {
    let mut owners: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (_, cues)) in TAXONOMY.iter().enumerate() {
        cues.split(' ').for_each(|cue| owners.entry(stem(cue)).or_default().push(index));
    }
    let mut scores = vec![0.0; TAXONOMY.len()];
    let mut evidence: Vec<BTreeMap<&str, usize>> = vec![BTreeMap::new(); TAXONOMY.len()];
    for word in telling {
        let found = owners.get(stem(word)).map(Vec::as_slice).unwrap_or_default();
        for &index in found {
            // A word of two topics speaks half for each.
            scores[index] += if found.len() > 1 { 0.5 } else { 1.0 };
            *evidence[index].entry(word).or_default() += 1;
        }
    }
    let total: f64 = scores.iter().sum();
    let mut topics: Vec<Topic> = TAXONOMY
        .iter()
        .zip(scores.iter().zip(evidence))
        .filter(|(_, (score, _))| total > 0.0 && **score / total >= SHARE_MIN)
        .map(|((name, _), (score, evidence))| {
            let mut evidence: Vec<(&str, usize)> = evidence.into_iter().collect();
            evidence.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
            let evidence = evidence.into_iter().take(KEYWORDS_MAX).map(|(word, _)| word.to_owned()).collect();
            Topic { topic: (*name).to_owned(), score: rounded(score / total), evidence }
        })
        .collect();
    topics.sort_by(|a, b| b.score.total_cmp(&a.score));
    topics
}

fn keywords(telling: &[&str]) -> Vec<Keyword> {
    // Forms of a word count together; the place of the first one breaks ties.
    let mut counts: BTreeMap<&str, (usize, usize, &str)> = BTreeMap::new();
    for (place, word) in telling.iter().enumerate().filter(|(_, word)| word.chars().count() > 2) {
        counts.entry(stem(word)).or_insert((0, place, word)).0 += 1;
    }
    let mut keywords: Vec<(usize, usize, &str)> = counts.into_values().collect();
    keywords.sort_by_key(|&(count, place, _)| (std::cmp::Reverse(count), place));
    keywords.into_iter().take(KEYWORDS_MAX).map(|(count, _, word)| Keyword { word: word.to_owned(), count }).collect()
}
