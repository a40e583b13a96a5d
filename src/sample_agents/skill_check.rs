//! Runs stand-ins in tests as agents do: input checked, result held against its schema.

use serde_json::Value;

use super::agent::Agent;
use super::skill::SkillError;

/// The stand-in's result, which must fit its schema.
pub(super) fn run(skill: &str, params: Value) -> Result<Value, SkillError> {
    let agents = Agent::all(None);
    let skill = agents.iter().find_map(|agent| agent.skill(skill).ok()).expect("an agent has the skill");
    skill.check_input(&params)?;
    let result = skill.stand_in(params.clone())?;
    assert_eq!(skill.output.problems(&result), Vec::<String>::new(), "{result}");
    assert_eq!(skill.stand_in(params)?, result, "the same input gives the same output");
    Ok(result)
}

/// Checks one place of a result, given as a JSON pointer.
pub(super) fn check(skill: &str, params: Value, pointer: &str, expected: Value) {
    let result = run(skill, params.clone()).unwrap_or_else(|error| panic!("{params}: {error}"));
    assert_eq!(result.pointer(pointer), Some(&expected), "{skill} {params}: {pointer} of {result:#}");
}

/// Checks that the input is refused with a message that says this.
pub(super) fn check_refused(skill: &str, params: Value, says: &str) {
    let error = run(skill, params.clone()).expect_err(&format!("{skill} took {params}")).to_string();
    assert!(error.contains(says), "{skill} {params}: {error}");
}
