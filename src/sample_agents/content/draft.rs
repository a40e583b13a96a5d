//! The drafts: an outline for each format, sentences for each part.

use super::super::material::Material;
use super::super::words::{count_of, shorten};
use super::topic::Topic;

/// What kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Article,
    BlogPost,
    Email,
    SocialPost,
    Report,
}

impl Format {
    /// The format asked for; otherwise what the request names; otherwise an article.
    pub(super) fn choose(asked: Option<&str>, request: &str, notes: &mut Vec<String>) -> Self {
        let of = |text: &str| {
            let text = text.to_lowercase();
            let has =
                |cues: &[&str]| cues.iter().any(|cue| text.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == *cue));
            match () {
                () if has(&["blog"]) => Some(Self::BlogPost),
                () if has(&["email", "e-mail", "mail", "letter", "newsletter"]) => Some(Self::Email),
                () if has(&["tweet", "social", "linkedin", "post"]) => Some(Self::SocialPost),
                () if has(&["report", "whitepaper"]) => Some(Self::Report),
                () if has(&["article", "essay", "story"]) => Some(Self::Article),
                () => None,
            }
        };
        choose(asked, of, request, Self::Article, "format", notes)
    }

    /// As written in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Article => "article",
            Self::BlogPost => "blog post",
            Self::Email => "email",
            Self::SocialPost => "social post",
            Self::Report => "report",
        }
    }

    fn headings(self) -> &'static [&'static str] {
        match self {
            Self::Article => &["Introduction", "Background", "What matters", "Open questions", "Conclusion"],
            Self::BlogPost => &["Why it matters", "Where to start", "What to watch for", "Next steps"],
            Self::Email => &["Opening", "Request", "Closing"],
            Self::SocialPost => &["Post"],
            Self::Report => &["Summary", "Scope", "Findings", "Recommendations", "Next steps"],
        }
    }
}

/// How a text speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Neutral,
    Friendly,
    Formal,
    Enthusiastic,
}

impl Tone {
    /// The tone asked for; otherwise what the request names; otherwise neutral.
    pub(super) fn choose(asked: Option<&str>, request: &str, notes: &mut Vec<String>) -> Self {
        let of = |text: &str| {
            let text = text.to_lowercase();
            let has = |cues: &[&str]| cues.iter().any(|cue| text.contains(cue));
            match () {
                () if has(&["friendly", "casual", "warm", "informal"]) => Some(Self::Friendly),
                () if has(&["formal", "professional", "business"]) => Some(Self::Formal),
                () if has(&["enthusiastic", "exciting", "excited", "energetic"]) => Some(Self::Enthusiastic),
                () if has(&["neutral"]) => Some(Self::Neutral),
                () => None,
            }
        };
        choose(asked, of, request, Self::Neutral, "tone", notes)
    }

    /// As written in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Friendly => "friendly",
            Self::Formal => "formal",
            Self::Enthusiastic => "enthusiastic",
        }
    }

    fn greeting(self, audience: &str) -> String {
        match self {
            Self::Friendly => format!("Hi {audience},"),
            Self::Formal => format!("Dear {audience},"),
            Self::Neutral | Self::Enthusiastic => format!("Hello {audience},"),
        }
    }

    fn goodbye(self) -> &'static str {
        match self {
            Self::Friendly => "Cheers,",
            Self::Formal => "Yours sincerely,",
            Self::Neutral => "Kind regards,",
            Self::Enthusiastic => "Looking forward to it!",
        }
    }

    fn opening(self, topic: &str) -> String {
        match self {
            Self::Neutral => format!("This text looks at {topic}."),
            Self::Friendly => format!("Let's talk about {topic}."),
            Self::Formal => format!("The following addresses {topic}."),
            Self::Enthusiastic => format!("There is a lot to discover about {topic}!"),
        }
    }
}

fn choose<T>(asked: Option<&str>, of: impl Fn(&str) -> Option<T>, request: &str, default: T, what: &str, notes: &mut Vec<String>) -> T {
    let asked = asked.filter(|asked| !asked.trim().is_empty());
    let known = asked.and_then(&of);
    if let (Some(asked), None) = (asked, &known) {
        notes.push(format!("it does not know the {what} `{}`", shorten(asked, 40)));
    }
    known.or_else(|| of(request.lines().next().unwrap_or_default())).unwrap_or(default)
}

/// How many words to aim for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Length(usize);

impl Length {
    /// A number of words, or a word for one; otherwise what the request names; otherwise what the format usually has.
    pub(super) fn choose(asked: Option<&Material>, request: &str, format: Format, notes: &mut Vec<String>) -> Self {
        let of = |text: &str| {
            let text = text.to_lowercase();
            let number =
                text.split_whitespace().find_map(|word| word.parse::<usize>().ok()).filter(|_| text.contains("word") || text.len() <= 6);
            let has = |cue: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == cue);
            match number {
                Some(number) => Some(number.clamp(20, 2_000)),
                None if has("short") || has("brief") => Some(80),
                None if has("medium") => Some(200),
                None if has("long") || has("detailed") => Some(500),
                None => None,
            }
        };
        let usual = match format {
            Format::SocialPost => 40,
            Format::Email => 100,
            Format::Article | Format::BlogPost | Format::Report => 200,
        };
        let asked = asked.map(Material::text);
        Self(choose(asked.as_deref(), of, request, usual, "length", notes))
    }
}

/// A finished draft.
pub(super) struct Draft {
    pub(super) title: String,
    pub(super) outline: Vec<String>,
    pub(super) body: String,
}

/// Writes the draft. The same input always gives the same text.
pub(super) fn write(topic: &Topic, format: Format, tone: Tone, length: Length) -> Draft {
    let outline: Vec<String> = format.headings().iter().map(|&heading| heading.to_owned()).collect();
    let title = topic.title();
    let body = match format {
        Format::SocialPost => social(topic, tone),
        Format::Email => email(topic, tone, length),
        Format::Article | Format::BlogPost | Format::Report => sections(topic, &title, tone, format, length),
    };
    Draft { title, outline, body }
}

fn social(topic: &Topic, tone: Tone) -> String {
    let tags: Vec<String> = topic
        .keywords
        .iter()
        .take(3)
        .map(|word| format!("#{}", word.chars().filter(|c| c.is_alphanumeric()).collect::<String>()))
        .collect();
    let points = if topic.points.is_empty() { String::new() } else { format!(" {}.", topic.points.join("; ")) };
    format!("{}{points} What is your experience? {}", tone.opening(&topic.name), tags.join(" ")).trim_end().to_owned()
}

fn email(topic: &Topic, tone: Tone, length: Length) -> String {
    let audience = topic.audience.as_deref().unwrap_or("all");
    let mut text = format!("{}\n\n{} ", tone.greeting(audience), tone.opening(&topic.name));
    for point in &topic.points {
        text.push_str(&format!("\n- {point}"));
    }
    text.push_str(&fill(topic, words_of(&text), length.0.saturating_sub(20), 1));
    text.push_str(&format!("\n\nPlease reply with questions or additions.\n\n{}\n[your name]", tone.goodbye()));
    text
}

fn sections(topic: &Topic, title: &str, tone: Tone, format: Format, length: Length) -> String {
    let headings = format.headings();
    let mut text = format!("# {title}\n");
    let mut sentence = 0;
    for (index, heading) in headings.iter().enumerate() {
        text.push_str(&format!("\n## {heading}\n\n"));
        let start = words_of(&text);
        if index == 0 {
            text.push_str(&tone.opening(&topic.name));
            if let Some(audience) = &topic.audience {
                text.push_str(&format!(" It is written for {audience}."));
            }
            text.push(' ');
        }
        if index == 1 && !topic.points.is_empty() {
            text.push_str(&format!("It covers {}:\n\n", count_of(topic.points.len(), "point")));
            topic.points.iter().for_each(|point| text.push_str(&format!("- {point}\n")));
            text.push('\n');
        }
        let share = length.0 / headings.len();
        let filler = fill(topic, words_of(&text) - start, share, sentence);
        sentence += filler.matches(['.', '?']).count();
        text.push_str(filler.trim_start());
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Sentences until the wanted number of words is near. They ask what the writer should answer, and claim nothing.
fn fill(topic: &Topic, have: usize, want: usize, first: usize) -> String {
    const PROMPTS: &[&str] = &[
        "Say in one sentence what {} means to the reader.",
        "Describe the situation today, with one figure and its source.",
        "Name an example of {} from practice.",
        "What changes if nothing is done about {}?",
        "Compare two ways to approach {}, with the cost of each.",
        "State what is known for certain and what is not.",
        "Who decides about {}, and by when?",
        "List what the reader can do first.",
        "Which common objection deserves an answer here?",
        "Close with the one thing to remember about {}.",
    ];
    let about = |index: usize| {
        let keyword = topic.keywords.get(index % topic.keywords.len().max(1)).map_or(topic.name.as_str(), String::as_str);
        if index.is_multiple_of(2) { topic.name.clone() } else { keyword.to_owned() }
    };
    let (mut text, mut count, mut index) = (String::new(), have, first);
    while count < want {
        let sentence = PROMPTS[index % PROMPTS.len()].replace("{}", &about(index));
        count += words_of(&sentence);
        text.push(' ');
        text.push_str(&sentence);
        index += 1;
    }
    text
}

fn words_of(text: &str) -> usize {
    text.split_whitespace().count()
}
