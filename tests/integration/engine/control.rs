//! The control channel of a data directory: who is served, who is refused, and that those who go away or say nothing keep no place.

use std::sync::Arc;
use std::time::Duration;

use gantry::control::{Error, Listener, Reply, Wish, ask};
use gantry::engine::Engine;
use gantry::ids::RunId;
use gantry::journal::{DataDir, Memory};
use gantry::limits;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::PATIENCE;
use super::rest;
use super::world::{World, output};

/// A gantry that is listened for in a directory of its own.
struct Served {
    dir: tempfile::TempDir,
    world: World,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// As announced.
    address: String,
    secret: String,
    _held: DataDir,
}

impl Served {
    async fn new() -> Self {
        Self::of(World::with(Arc::new(Memory::default()))).await
    }

    async fn of(world: World) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut held = DataDir::lock(dir.path()).unwrap();
        let listener = Listener::bind(&mut held).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(listener.serve(world.engine.clone(), stop.clone(), stop.clone()));
        let announced: Value = serde_json::from_str(&DataDir::announced(dir.path()).unwrap()).unwrap();
        let told = |name: &str| announced[name].as_str().unwrap().to_owned();
        Self { address: told("address"), secret: told("secret"), dir, world, stop, serving, _held: held }
    }

    /// A run that asks something.
    async fn asks(&self) -> RunId {
        let run = self.world.start("steps: [{id: ask, step_type: input, prompt: well}]", json!({})).await;
        self.world.until(&run, "its question", |snapshot| !snapshot.status.is_terminal() && !snapshot.steps.is_empty()).await;
        run
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// Says these bytes, as many of them as are taken, and reads what comes back until the end of the connection.
    async fn says(&self, bytes: &[u8]) -> String {
        let (mut read, mut write) = self.connect().await.into_split();
        let mut answer = Vec::new();
        // The other side may close before it has read everything, and that is an answer, too.
        let _both = tokio::join!(write.write_all(bytes), read.read_to_end(&mut answer));
        String::from_utf8(answer).unwrap()
    }

    /// Whether it still serves those who know the secret.
    async fn serves(&self) -> bool {
        let Ok(mut asked) = ask(self.dir.path(), &Wish::Agents).await else { return false };
        matches!(asked.next().await, Ok(Reply::Done(_)))
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.serving).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn followers_that_have_gone_make_room_while_the_run_tells_nothing() {
    let served = Served::new().await;
    let run = served.asks().await;
    let follow = Wish::Follow { run: run.clone() };
    // As many as are served at once, all of whom go away in the middle; and as many again.
    for round in 0..2 {
        let mut followers = Vec::new();
        for _ in 0..limits::CONTROL_CONNECTIONS_MAX {
            let mut asked = tokio::time::timeout(PATIENCE, ask(served.dir.path(), &follow)).await.unwrap().unwrap();
            let first = tokio::time::timeout(PATIENCE, asked.next()).await.unwrap_or_else(|_| panic!("round {round}: there is no place"));
            assert!(matches!(first, Ok(Reply::Snapshot(_))), "{first:?}");
            followers.push(asked);
        }
        drop(followers);
    }
    let wish = Wish::Answer { run: run.clone(), step: None, answer: json!("yes"), text: None };
    let mut asked = ask(served.dir.path(), &wish).await.unwrap();
    let answered = tokio::time::timeout(PATIENCE, asked.next()).await.expect("there is a place");
    assert!(matches!(answered, Ok(Reply::Done(_))), "{answered:?}");
    assert_eq!(output(&served.world.end(&run).await), &json!("yes"));
    served.end().await;
}

#[tokio::test]
async fn who_does_not_know_the_secret_is_not_answered_and_changes_nothing() {
    let served = Served::new().await;
    let run = served.asks().await;
    let cancel = json!(Wish::Cancel { run: run.clone(), reason: "no".to_owned() }).to_string();
    let secret = &served.secret;
    let (shorter, other) = (&secret[1..], "0".repeat(secret.len()));
    let longer = "x".repeat(1 << 20);
    for wrong in ["", shorter, &other, &format!("{secret} "), &format!(" {secret}"), &secret.to_uppercase(), &longer] {
        assert_eq!(served.says(format!("{wrong}\n{cancel}\n").as_bytes()).await, "", "{}", wrong.len());
    }
    assert_eq!(served.says(&[&[0xff; 32][..], b"\n", cancel.as_bytes(), b"\n"].concat()).await, "", "what is no text");
    assert!(served.world.engine.snapshot(&run).await.unwrap().outcome.is_none(), "the run goes on");
    let answer = served.says(format!("{secret}\n{cancel}\n").as_bytes()).await;
    assert!(answer.starts_with("{\"reply\":\"done\""), "{answer}");
    assert!(served.world.end(&run).await.outcome.is_some());
    served.end().await;
}

#[tokio::test]
async fn wishes_that_are_not_understood_or_too_long_are_refused() {
    let served = Served::new().await;
    let secret = &served.secret;
    for wish in ["{\"wish\":\"dance\"}", "{\"wish\":\"cancel\"}", "[]", "", "{"] {
        let answer: Value = serde_json::from_str(&served.says(format!("{secret}\n{wish}\n").as_bytes()).await).unwrap();
        let told = answer["about"].as_str().unwrap();
        assert_eq!(answer["reply"], "refused", "{wish}: {answer}");
        assert!(told.contains("does not understand the wish") && told.contains("another version"), "{told}");
    }
    let unknown = RunId::parse("nobody").unwrap();
    for wish in [Wish::Retry { run: unknown.clone() }, Wish::Follow { run: unknown }] {
        let answer = served.says(format!("{secret}\n{}\n", json!(wish)).as_bytes()).await;
        assert!(answer.contains("refused") && answer.contains("nobody"), "{answer}");
    }
    // A line that would be longer than any may be is given up at the bound, without an answer.
    let long = [secret.as_bytes(), b"\n", &vec![b' '; limits::CONTROL_LINE_BYTES_MAX], b"{\"wish\":\"agents\"}\n"].concat();
    assert_eq!(served.says(&long).await, "");
    assert!(served.serves().await, "others are served");
    served.end().await;
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait_until_one_has_gone() {
    let served = Served::new().await;
    let mut silent = Vec::new();
    for _ in 0..limits::CONTROL_CONNECTIONS_MAX {
        silent.push(served.connect().await);
    }
    // Connections are taken in the order in which they came, so that this one has no place.
    let mut asked = ask(served.dir.path(), &Wish::Agents).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), asked.next()).await;
    assert!(early.is_err(), "it was served beyond the places: {early:?}");
    silent.pop();
    let answer = tokio::time::timeout(PATIENCE, asked.next()).await.expect("a place is free");
    assert!(matches!(answer, Ok(Reply::Done(_))), "{answer:?}");
    served.end().await;
}

/// The clock stands still but for timers: those who say nothing, or not all, are cut when theirs is due.
#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut_and_makes_room() {
    let served = Served::new().await;
    let begun = tokio::time::Instant::now();
    let mut silent = Vec::new();
    for n in 0..limits::CONTROL_CONNECTIONS_MAX {
        let mut stream = served.connect().await;
        // Nothing, half a secret, or the secret and half a wish.
        let said = [String::new(), served.secret[..9].to_owned(), format!("{}\n{{\"wish\":", served.secret)];
        stream.write_all(said[n % 3].as_bytes()).await.unwrap();
        silent.push(stream);
    }
    assert!(served.serves().await, "there is a place again");
    assert!(begun.elapsed() >= limits::CONTROL_TIMEOUT, "they had their time");
    for mut stream in silent {
        let mut answer = Vec::new();
        // What was said and not read makes the end of a connection a hard one.
        let _end = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"");
    }
    served.end().await;
}

/// Who follows stays for days. The others have places of their own, and one follower too many is told so.
#[tokio::test]
async fn followers_take_no_place_from_the_others_and_are_bounded_themselves() {
    let served = Served::new().await;
    let run = served.asks().await;
    let said = async |wish: &Wish| {
        let said = async {
            let mut asked = ask(served.dir.path(), wish).await.unwrap();
            (asked.next().await, asked)
        };
        tokio::time::timeout(PATIENCE, said).await.unwrap_or_else(|_| panic!("there is no place for {wish:?}"))
    };
    let follow = Wish::Follow { run: run.clone() };
    let mut followers = Vec::new();
    for _ in 0..limits::CONTROL_FOLLOWERS_MAX {
        let (first, asked) = said(&follow).await;
        assert!(matches!(first, Ok(Reply::Snapshot(_))), "{first:?}");
        followers.push(asked);
    }
    let (refused, _) = said(&follow).await;
    assert!(matches!(&refused, Ok(Reply::Refused(why)) if why.contains("follow")), "{refused:?}");
    let (agents, _) = said(&Wish::Agents).await;
    assert!(matches!(agents, Ok(Reply::Done(_))), "{agents:?}");
    let (answered, _) = said(&Wish::Answer { run: run.clone(), step: None, answer: json!("yes"), text: None }).await;
    assert!(matches!(answered, Ok(Reply::Done(_))), "{answered:?}");
    for mut follower in followers {
        let told = async { while !matches!(follower.next().await.unwrap(), Reply::Done(_)) {} };
        tokio::time::timeout(PATIENCE, told).await.expect("each is told the end");
    }
    served.end().await;
}

/// A run at rest says nothing when its gantry ends. Who follows it is told that it is parked all the same.
#[tokio::test]
async fn a_follower_of_a_run_at_rest_is_told_that_it_is_parked() {
    let served = Served::of(rest::world(Arc::new(Memory::default()), rest::SOON)).await;
    let run = served.asks().await;
    let mut follower = ask(served.dir.path(), &Wish::Follow { run }).await.unwrap();
    let first = tokio::time::timeout(PATIENCE, follower.next()).await.unwrap();
    assert!(matches!(first, Ok(Reply::Snapshot(_))), "{first:?}");
    rest::until(&served.world.engine, 0, 1).await;
    served.stop.cancel();
    let parked = async { while !matches!(follower.next().await.unwrap(), Reply::Parked) {} };
    tokio::time::timeout(PATIENCE, parked).await.expect("it is told");
    served.end().await;
}

/// A gantry that takes a wish and says nothing is not waited for without end.
#[tokio::test]
async fn one_who_is_not_answered_is_told_so_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut held = DataDir::lock(dir.path()).unwrap();
    // It listens, and serves nobody.
    let _listener = Listener::bind(&mut held).await.unwrap();
    // What is forgotten takes as long as there is of it, and everything else a moment.
    let prune = Wish::Prune { ended_before: None, runs_max: Some(0) };
    for (wish, patience) in [
        (Wish::Agents, limits::CONTROL_REPLY_TIMEOUT),
        (Wish::Cancel { run: RunId::parse("r").unwrap(), reason: "r".to_owned() }, limits::CONTROL_REPLY_TIMEOUT),
        (prune, limits::CONTROL_PRUNE_TIMEOUT),
    ] {
        let mut asked = ask(dir.path(), &wish).await.unwrap();
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let waited = tokio::time::timeout(patience * 2, asked.next()).await.expect("it is not waited for ever");
        let (took, told) = (begun.elapsed(), waited.unwrap_err());
        tokio::time::resume();
        assert!(took >= patience && took < patience * 2, "{wish:?} was waited for {took:?}");
        assert!(matches!(told, Error::Slow { .. }), "{told}");
        let process = format!("process {}", std::process::id());
        let after = gantry::time::humanize(patience);
        assert!(told.to_string().contains(&process) && told.to_string().contains(&after), "{told}");
    }
}
