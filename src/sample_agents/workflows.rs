//! The example workflows of `workflows/`, inside the binary, so that a fresh machine has something to run.

/// File stem and text of each example workflow.
pub const EMBEDDED_WORKFLOWS: &[(&str, &str)] = &[
    ("code-generation", include_str!("../../workflows/code-generation.yaml")),
    ("content-creation", include_str!("../../workflows/content-creation.yaml")),
    ("data-analysis", include_str!("../../workflows/data-analysis.yaml")),
    ("parallel-analysis", include_str!("../../workflows/parallel-analysis.yaml")),
    ("smart-router", include_str!("../../workflows/smart-router.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_agents::agent::Agent;
    use crate::workflow::{parse, render_short};

    #[test]
    fn examples_parse_without_a_warning() {
        for (stem, text) in EMBEDDED_WORKFLOWS {
            let parsed = parse(text);
            assert!(parsed.diagnostics.is_empty(), "{}", render_short(stem, &parsed.diagnostics));
            let workflow = parsed.workflow.unwrap();
            assert_eq!(workflow.metadata.id.as_str(), format!("{stem}-v1"));
            assert!((3..=5).contains(&workflow.metadata.examples.len()) && !workflow.metadata.tags.is_empty());
            assert!(text.starts_with("# yaml-language-server: $schema=../docs/workflow.schema.json\n"));
        }
    }

    /// A bare text fills the first required property, which therefore must be a string.
    #[test]
    fn the_first_required_input_is_text() {
        for (stem, property) in [
            ("code-generation", "requirements"),
            ("parallel-analysis", "text"),
            ("smart-router", "request"),
            ("data-analysis", "data"),
            ("content-creation", "topic"),
        ] {
            let (_, text) = EMBEDDED_WORKFLOWS.iter().find(|(known, _)| *known == stem).unwrap();
            let schema = parse(text).workflow.unwrap().input.unwrap();
            assert_eq!((&schema["required"][0], &schema["properties"][property]["type"]), (&property.into(), &"string".into()));
        }
    }

    #[test]
    fn every_skill_is_offered_by_a_sample_agent() {
        let agents = Agent::all(None);
        for (stem, text) in EMBEDDED_WORKFLOWS {
            for skill in text.lines().filter_map(|line| line.trim().strip_prefix("skill: ")) {
                assert!(skill == "execute_workflow" || agents.iter().any(|agent| agent.skill(skill).is_ok()), "{stem}: {skill}");
            }
        }
    }
}
