//! Ten times the load that gantry bears with the places that it has by default, each run waiting for a slow agent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::Failure;
use super::measures::{Bench, callers, shape};

/// How long it is asked for what it bears, and then for ten times as much.
const DURING: Duration = Duration::from_secs(60);
/// Callers that wait for their answers, together about as many as there are places, unless `--runs` says how many.
const LANES: usize = 9_000;
/// Requests that wait at once, at most: each has a connection, and with it a file.
const OPEN_MAX: usize = 19_000;
/// Between two bursts of requests.
const TICK: Duration = Duration::from_millis(2);

/// What became of the requests.
#[derive(Default)]
struct Answers {
    good: usize,
    /// When they were refused with a time to come again.
    refused: Vec<Duration>,
    /// The first of those that went wrong.
    wrong: Vec<String>,
}

enum Answer {
    Good,
    Refused(Duration),
    Wrong(String),
}

struct Callers {
    http: reqwest::Client,
    url: String,
    body: Bytes,
}

impl Callers {
    async fn ask(&self) -> Answer {
        let asked = Instant::now();
        match self.answer().await {
            Ok((200, _, answer)) if answer["result"].is_object() => Answer::Good,
            Ok((429 | 503, true, _)) => Answer::Refused(asked.elapsed()),
            Ok((status, ..)) => Answer::Wrong(format!("HTTP {status}")),
            Err(error) => Answer::Wrong(format!("{error:?}")),
        }
    }

    async fn answer(&self) -> Result<(u16, bool, Value), reqwest::Error> {
        let request = self.http.post(&self.url).header("Content-Type", "application/json").body(self.body.clone());
        let response = request.send().await?;
        let comes_again = response.headers().contains_key("retry-after");
        Ok((response.status().as_u16(), comes_again, response.json().await?))
    }

    /// Runs a second that so many callers get, each with its next request when it has its answer.
    async fn bear(self: &Arc<Self>, lanes: usize, during: Duration) -> Result<f64, Failure> {
        let begun = Instant::now();
        let mut open = JoinSet::new();
        for _ in 0..lanes {
            let callers = Arc::clone(self);
            open.spawn(async move {
                let mut good = 0_usize;
                while begun.elapsed() < during {
                    match callers.ask().await {
                        Answer::Good => good += 1,
                        Answer::Refused(_) => return Err("refused".to_owned()),
                        Answer::Wrong(what) => return Err(what),
                    }
                }
                Ok(good)
            });
        }
        let mut good = 0;
        while let Some(joined) = open.join_next().await {
            good += joined??;
        }
        Ok(good as f64 / begun.elapsed().as_secs_f64())
    }

    /// So many requests a second, whatever becomes of those before. Returns what was offered, too.
    async fn offer(self: &Arc<Self>, rate: f64, during: Duration) -> Result<(f64, Answers), Failure> {
        let mut ticks = tokio::time::interval(TICK);
        // What was late is made up for: the rate holds on the whole.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut open, mut answers, mut offered) = (JoinSet::new(), Answers::default(), 0_usize);
        let begun = Instant::now();
        while begun.elapsed() < during {
            ticks.tick().await;
            while (offered as f64) < rate * begun.elapsed().as_secs_f64() && open.len() < OPEN_MAX {
                let callers = Arc::clone(self);
                open.spawn(async move { callers.ask().await });
                offered += 1;
            }
            while let Some(joined) = open.try_join_next() {
                answers.add(joined?);
            }
        }
        let offered = offered as f64 / begun.elapsed().as_secs_f64();
        while let Some(joined) = open.join_next().await {
            answers.add(joined?);
        }
        answers.refused.sort_unstable();
        Ok((offered, answers))
    }
}

impl Answers {
    fn add(&mut self, answer: Answer) {
        match answer {
            Answer::Good => self.good += 1,
            Answer::Refused(after) => self.refused.push(after),
            Answer::Wrong(what) => self.wrong.push(what),
        }
    }

    /// Milliseconds after which so many of a hundred were refused.
    fn refused_after(&self, percent: usize) -> f64 {
        self.refused.get(self.refused.len() * percent / 100).copied().unwrap_or_default().as_secs_f64() * 1000.0
    }
}

impl Bench<'_> {
    pub(super) async fn overload(&mut self) -> Result<(), Failure> {
        if !self.wanted("overload") {
            return Ok(());
        }
        let group = "ten times the load, with the places of the default";
        self.heading(group);
        // An agent that takes ten seconds for each step, as models do, keeps a place busy for thirty: it is places that run out, and not the
        // processors, which have the callers and the agent to bear as well.
        let (name, lanes, during) =
            if self.wish.quick { ("chain-3", 8, Duration::from_secs(1)) } else { ("patient-3", self.wish.runs.unwrap_or(LANES), DURING) };
        let subject = self.gantry(Some("overload"))?;
        let asking = |name| -> Result<_, Failure> {
            let body = Bytes::from(serde_json::to_vec(&shape(name).request(subject.kind))?);
            Ok(Arc::new(Callers { http: callers()?, url: subject.process.url.clone(), body }))
        };
        let asked = asking(name)?;
        let peak = asked.bear(lanes, during).await?;
        self.line(group, "peak_per_second", json!(peak), &format!("{peak:.0} runs/s that {lanes} callers get"));
        let begun = Instant::now();
        let (offered, answers) = asked.offer(peak * 10.0, during).await?;
        let goodput = answers.good as f64 / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        if !matches!(asking("chain-3")?.ask().await, Answer::Good) {
            return Err("it did not recover".into());
        }
        let recovered = begun.elapsed().as_secs_f64();
        let text = format!(
            "{goodput:.0} runs/s of {offered:.0} that are asked for; {} refused after {:.2} ms (p50), {:.1} ms (p99); {} otherwise",
            answers.refused.len(),
            answers.refused_after(50),
            answers.refused_after(99),
            answers.wrong.len(),
        );
        let figures = json!({ "offered_per_second": offered, "good_per_second": goodput,
                              "refused": answers.refused.len(), "otherwise": answers.wrong.len() });
        self.line(group, "runs", figures, &text);
        if let Some(what) = answers.wrong.first() {
            self.line(group, "the first that went wrong", json!(what), what);
        }
        self.bar(group, "goodput, of the peak", goodput / peak, 0.9, true);
        self.bar(group, "requests that were neither answered nor refused", answers.wrong.len() as f64, 0.0, false);
        self.bar(group, "ms until refused, half of them", answers.refused_after(50), 10.0, false);
        self.bar(group, "ms until refused, 99 %", answers.refused_after(99), 10.0, false);
        self.bar(group, "s until a run ends, afterwards", recovered, 1.0, false);
        let memory = subject.process.memory("VmHWM")? as f64 / 1e6;
        self.line(group, "MB at the peak", json!(memory), &format!("{memory:.0} MB at the peak"));
        Ok(())
    }
}
