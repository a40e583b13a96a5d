//! What opens a circuit, what does not, and what closes it again.

use super::*;
use crate::agent::{ErrorKind, Reach};

const SECOND: Duration = Duration::from_secs(1);

fn error(message: &str) -> Error {
    Error {
        kind: ErrorKind::Unavailable,
        agent: "a".to_owned(),
        skill: "s".to_owned(),
        message: message.to_owned(),
        code: None,
        status: None,
        retry_after: None,
        reach: Reach::NotBegun,
    }
}

struct Case {
    breaker: Breaker,
    now: Instant,
}

impl Case {
    fn new(options: BreakerOptions) -> Self {
        Self { breaker: Breaker::new(options), now: Instant::now() }
    }

    fn admit(&self) -> Result<Admission, Shut> {
        self.breaker.admit(|| self.now)
    }

    fn fail(&self) -> Option<Turn> {
        self.breaker.failed(self.admit().unwrap(), self.now, &error("down"))
    }

    fn succeed(&self) -> Option<Turn> {
        self.breaker.succeeded(self.admit().unwrap(), self.now)
    }

    fn circuit(&self) -> Circuit {
        self.breaker.look(self.now).circuit
    }

    /// Opens it with as many failures as it takes.
    fn opened(options: BreakerOptions) -> Self {
        let failures = options.failures.get();
        let case = Self::new(options);
        for _ in 1..failures {
            assert_eq!(case.fail(), None);
        }
        assert!(matches!(case.fail(), Some(Turn::Opened { .. })));
        case
    }
}

fn rows(failures: u32) -> BreakerOptions {
    BreakerOptions { failures: NonZeroU32::new(failures).unwrap(), ..BreakerOptions::default() }
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not_let_them() {
    let case = Case::new(rows(3));
    for _ in 0..2 {
        assert_eq!((case.fail(), case.fail(), case.succeed()), (None, None, None));
    }
    assert_eq!((case.fail(), case.fail()), (None, None));
    let Some(Turn::Opened { pause, why }) = case.fail() else { panic!("it is closed") };
    assert_eq!((pause, why.to_string()), (SECOND, "3 failures in a row; the last: down".to_owned()));
    assert_eq!((case.circuit(), case.breaker.is_closed()), (Circuit::Open, false));
}

/// `+` a call that succeeds, `-` one that fails, `|` a second that passes; the circuit is open at the end, or not.
#[test]
fn a_share_of_failures_within_the_window_opens_it() {
    for (calls, open) in [
        ("-+-+-+-+-+", false),                     // Half, but too few calls.
        ("-+-+-+-+-+-+-+-+-+-", false),            // 19.
        ("+-+-+-+-+-+-+-+-+-+-", true),            // 20.
        ("-+-+-+-+-+|||||||||+-+-+-+-+-", true),   // After 9 seconds the first half counts still,
        ("-+-+-+-+-+||||||||||+-+-+-+-+-", false), // and after 10 no more.
        ("-+-+-+-+-+-+-+-+-+-+-", true),
        ("++-++-++-++-++-++-++-++-++-++-", false),                        // A third.
        ("++++++++++++++++++++--+--+--+--+--+--+--+--", false),           // 16 of 43.
        ("++++++++++++++++++++|||||||||||--+--+--+--+--+--+--+--", true), // The good ones are long ago.
        ("--+--+--+--+|||||||||||--+--+", false),                         // The bad ones are.
        ("|||||||||||||||||||||||||||||||", false),
    ] {
        let mut case = Case::new(rows(100));
        for (at, sign) in calls.char_indices() {
            match sign {
                '|' => case.now += SECOND,
                _ if case.circuit() == Circuit::Open => assert!(open, "{calls} opens at {at}"),
                '+' => drop(case.succeed()),
                _ => drop(case.fail()),
            }
        }
        assert_eq!(case.circuit() == Circuit::Open, open, "{calls}");
    }
}

#[test]
fn while_it_is_open_nothing_is_let_through_and_the_hint_says_until_when() {
    let mut case = Case::opened(rows(2));
    case.now += SECOND / 4;
    for _ in 0..100 {
        let shut = case.admit().unwrap_err();
        assert_eq!(shut.wait, Some(SECOND * 3 / 4));
        assert!(shut.hint >= SECOND * 3 / 4 && shut.hint <= SECOND, "{:?}", shut.hint);
        assert_eq!(case.breaker.refuses(|| case.now).map(|refused| refused.wait), Some(shut.wait));
    }
}

#[test]
fn one_probe_at_a_time_and_its_success_closes() {
    let mut case = Case::opened(rows(2));
    case.now += SECOND;
    assert_eq!((case.circuit(), case.breaker.refuses(|| case.now)), (Circuit::HalfOpen, None), "looking takes no probe");
    let probe = case.admit().unwrap();
    assert!(probe.is_probe());
    for _ in 0..10 {
        let shut = case.admit().unwrap_err();
        assert!(shut.wait.is_none() && shut.hint >= SECOND);
    }
    assert_eq!(case.breaker.succeeded(probe, case.now), Some(Turn::Closed));
    assert_eq!(case.circuit(), Circuit::Closed);
    assert!(!case.admit().unwrap().is_probe());
    // What failed before does not count any more.
    assert_eq!((case.fail(), case.succeed()), (None, None));
}

#[test]
fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
    let mut case = Case::opened(BreakerOptions { pause_max: SECOND * 5, ..rows(1) });
    let mut waited = SECOND;
    for expected in [2, 4, 5, 5, 5] {
        case.now += waited;
        let probe = case.admit().unwrap();
        let Some(Turn::Opened { pause, .. }) = case.breaker.failed(probe, case.now, &error("still")) else { panic!("it is closed") };
        assert_eq!(pause, SECOND * expected);
        waited = pause;
    }
    // Back for a moment and gone again: the pauses go on. Back for longer than the window: they begin anew.
    for (rest, expected) in [(SECOND, SECOND * 5), (SECOND * 11, SECOND)] {
        case.now += SECOND * 5;
        assert_eq!(case.succeed(), Some(Turn::Closed));
        case.now += rest;
        let Some(Turn::Opened { pause, .. }) = case.fail() else { panic!("it is closed") };
        assert_eq!(pause, expected, "after {rest:?}");
    }
}

/// Twice as long twenty times, and no more: the pause stays a duration, however long the agent is away.
#[test]
fn pauses_have_an_end_however_many_they_are() {
    for (pause_max, longest) in [(BreakerOptions::default().pause_max, SECOND * 30), (Duration::MAX, SECOND * (1 << 20))] {
        let mut case = Case::opened(BreakerOptions { pause_max, ..rows(1) });
        let mut waited = SECOND;
        for _ in 0..100 {
            case.now += waited;
            let probe = case.admit().unwrap();
            let Some(Turn::Opened { pause, .. }) = case.breaker.failed(probe, case.now, &error("still")) else { panic!("it is closed") };
            assert!(pause >= waited && pause <= longest, "{pause:?} after {waited:?}");
            waited = pause;
        }
        assert_eq!(waited, longest);
        // The same for probes that nothing comes of.
        case.now += waited;
        for _ in 0..100 {
            assert!(case.admit().unwrap().is_probe());
            case.now += longest - SECOND / 100;
            assert!(case.admit().is_err());
            case.now += SECOND / 100;
        }
    }
}

#[test]
fn an_agent_that_says_when_to_come_back_is_left_alone_until_then_within_bounds() {
    for (asked, pause) in [(0, 1), (7, 7), (45, 45), (3600, RETRY_AFTER_MAX.as_secs())] {
        let case = Case::new(rows(1));
        let error = Error { retry_after: Some(SECOND * asked), ..error("busy") };
        let turn = case.breaker.failed(case.admit().unwrap(), case.now, &error);
        assert!(matches!(turn, Some(Turn::Opened { pause: found, .. }) if found == SECOND * u32::try_from(pause).unwrap()), "{turn:?}");
    }
}

#[test]
fn a_probe_that_is_given_up_leaves_its_place_to_the_next_call() {
    let mut case = Case::opened(rows(1));
    case.now += SECOND;
    let given_up = case.admit().unwrap();
    case.breaker.told_nothing(given_up, case.now);
    let probe = case.admit().unwrap();
    assert!(probe.is_probe());
    // The one that was given up says something after all: it is not asked any more.
    assert_eq!(case.breaker.succeeded(given_up, case.now), None);
    case.breaker.told_nothing(given_up, case.now);
    assert!(case.admit().is_err(), "the second probe is still under way");
    assert_eq!(case.breaker.succeeded(probe, case.now), Some(Turn::Closed));
}

#[test]
fn a_slow_probe_does_not_keep_the_next_away_for_ever() {
    let mut case = Case::opened(rows(1));
    case.now += SECOND;
    let slow = case.admit().unwrap();
    // As long as the pause was, and twice as long for each that follows.
    let mut probes = vec![slow];
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        case.now += SECOND * wait - SECOND / 100;
        let shut = case.admit().unwrap_err();
        assert!(shut.wait.is_none() && shut.hint >= SECOND / 100, "{shut:?}");
        assert!(case.breaker.refuses(|| case.now).is_some());
        case.now += SECOND / 100;
        assert_eq!((case.circuit(), case.breaker.refuses(|| case.now)), (Circuit::HalfOpen, None));
        let probe = case.admit().unwrap();
        assert!(probe.is_probe() && case.admit().is_err(), "one at a time, after {wait} s");
        probes.push(probe);
    }
    // The failure of one that nobody waits for any more says nothing of now; the success of any says that the agent is back.
    assert_eq!(case.breaker.failed(probes[1], case.now, &error("timed out")), None);
    assert_eq!(case.breaker.succeeded(slow, case.now), Some(Turn::Closed));
    assert_eq!(case.breaker.succeeded(probes[7], case.now), None);
    assert_eq!(case.circuit(), Circuit::Closed);
}

#[test]
fn the_failure_of_the_last_probe_opens_it_again_and_earlier_ones_say_nothing_then() {
    let mut case = Case::opened(rows(1));
    case.now += SECOND;
    let slow = case.admit().unwrap();
    case.now += SECOND;
    let last = case.admit().unwrap();
    let turn = case.breaker.failed(last, case.now, &error("still"));
    assert!(matches!(turn, Some(Turn::Opened { pause, .. }) if pause == SECOND * 4), "{turn:?}");
    assert_eq!(case.breaker.succeeded(slow, case.now), None);
    assert_eq!(case.circuit(), Circuit::Open);
    case.breaker.told_nothing(slow, case.now);
    assert!(case.admit().is_err(), "it is not the one that is waited for");
}

#[test]
fn calls_from_before_an_opening_change_nothing_after_it() {
    let mut case = Case::new(rows(2));
    let old: Vec<_> = (0..10).map(|_| case.admit().unwrap()).collect();
    assert_eq!(case.breaker.failed(old[0], case.now, &error("down")), None);
    assert!(case.breaker.failed(old[1], case.now, &error("down")).is_some());
    // A burst that was under way: neither do its failures make the pause longer, nor does its success close anything.
    assert_eq!(case.breaker.failed(old[2], case.now, &error("down")), None);
    assert_eq!(case.breaker.succeeded(old[3], case.now), None);
    case.now += SECOND;
    let probe = case.admit().unwrap();
    assert_eq!(case.breaker.failed(old[4], case.now, &error("down")), None);
    assert_eq!(case.breaker.succeeded(probe, case.now), Some(Turn::Closed));
    for old in &old[5..] {
        assert_eq!(case.breaker.failed(*old, case.now, &error("down")), None);
    }
    assert_eq!(case.circuit(), Circuit::Closed, "the late failures are of the time before");
}

#[test]
fn without_it_nothing_opens() {
    let case = Case::new(BreakerOptions { enabled: false, ..rows(1) });
    for _ in 0..1_000 {
        assert_eq!(case.fail(), None);
    }
    assert_eq!(case.circuit(), Circuit::Closed);
}

#[test]
fn the_reason_is_short_whatever_the_agent_said() {
    let case = Case::new(rows(1));
    let said = "ü".repeat(10_000);
    let Some(Turn::Opened { why, .. }) = case.breaker.failed(case.admit().unwrap(), case.now, &error(&said)) else { panic!() };
    assert!(why.last.len() <= CIRCUIT_REASON_BYTES_MAX && why.last.starts_with('ü'), "{}", why.last.len());
}

#[test]
fn options_are_read_and_refused_by_name() {
    let read = |json: &str| serde_json::from_str::<BreakerOptions>(json).map_err(|error| error.to_string());
    let options = read(r#"{"failures": 3, "failure_rate": 1, "window": "1m", "pause": 0.5, "pause_max": "2m"}"#).unwrap();
    assert_eq!((options.failures.get(), options.failure_rate), (3, 1.0));
    assert_eq!((options.window, options.pause, options.pause_max), (SECOND * 60, SECOND / 2, SECOND * 120));
    for (json, said) in [
        (r#"{"failures": 0}"#, "nonzero"),
        (r#"{"calls_min": 0}"#, "nonzero"),
        (r#"{"failure_rate": 0}"#, "expected a share of more than 0"),
        (r#"{"failure_rate": 1.5}"#, "expected a share of more than 0"),
        (r#"{"window": 0}"#, "expected a duration that is not 0"),
        (r#"{"pause": "soon"}"#, "duration"),
        (r#"{"pause_max": true}"#, "expected a duration, as in 30s"),
        (r#"{"failure": 1}"#, "unknown field `failure`"),
    ] {
        let error = read(json).unwrap_err();
        assert!(error.contains(said), "{json}: {error}");
    }
}
