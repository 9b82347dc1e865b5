//! The invariants of absence: what is not in this house, on purpose.
//!
//! [`house`] reads the workspace, [`code`] blanks comments, strings and tests so that rules see only code, [`find`] looks
//! for words and dependencies, [`rules`] hold one function per invariant. Each test below names an invariant and fails
//! with `file:line: what` for each breach; the tests in [`proof`] show that each rule finds a breach when there is one.

mod code;
mod find;
mod house;
mod proof;
mod rules;

use std::sync::LazyLock;

use house::{Finding, House};

/// Read once for all rules.
static HOUSE: LazyLock<House> = LazyLock::new(House::read);

fn hold(rule: fn(&House) -> Vec<Finding>) {
    let found: Vec<String> = rule(&HOUSE).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

#[test]
fn async_stays_in_http_and_store() {
    hold(rules::async_outside_http_and_store);
}

#[test]
fn no_trait_is_async() {
    hold(rules::async_traits);
}

#[test]
fn lingxi_data_knows_no_tensor_no_http_and_no_clock() {
    hold(rules::data_depends_on_the_world);
}

#[test]
fn wall_clocks_tick_only_in_the_app() {
    hold(rules::wall_clocks);
}

#[test]
fn kernels_decide_and_eval_know_no_tensor_library() {
    hold(rules::tensor_libraries);
}

#[test]
fn unsafe_lives_in_the_cellar() {
    hold(rules::unsafe_outside_kernels);
}

#[test]
fn crates_depend_only_downwards_and_never_on_siblings() {
    hold(rules::dependency_directions);
}

#[test]
fn datafusion_is_not_needed() {
    hold(rules::datafusion);
}

#[test]
fn module_names_say_what_lives_there() {
    hold(rules::empty_names);
}

#[test]
fn unwrap_is_for_tests() {
    hold(rules::unwraps);
}

#[test]
fn nothing_is_left_to_do() {
    hold(rules::unfinished);
}

#[test]
fn randomness_is_an_argument() {
    hold(rules::hidden_randomness);
}

#[test]
fn configurations_refuse_unknown_keys() {
    hold(rules::lenient_configs);
}

#[test]
fn hyper_parameters_are_fields_and_not_string_maps() {
    hold(rules::string_maps_in_configs);
}

#[test]
fn backends_and_distances_are_no_type_parameters() {
    hold(rules::generic_backends);
}

#[test]
fn a_crate_has_at_most_three_features_and_none_inside_an_algorithm() {
    hold(rules::features);
}

#[test]
fn each_crate_has_one_integration_binary() {
    hold(rules::integration_binaries);
}

#[test]
fn no_path_of_somebodys_machine_is_written_down() {
    hold(rules::machine_paths);
}

#[test]
fn no_registry_is_written_down() {
    hold(rules::registry_hosts);
}

#[test]
fn architecture_names_every_crate() {
    hold(rules::architecture_names_crates);
}

#[test]
fn the_readme_is_there_in_both_languages() {
    hold(rules::readmes);
}
