"""Tests that take long: `make test` leaves them to `make test-all`.

A module, a function or one of its cases; seconds of two cores, of tests whose
subject has a quicker one too. Marks stand at a test itself where it was written
to be slow.
"""

SLOW = {
    "tests/cards/test_cards.py::test_each_reading_of_the_test_split_is_counted",
    "tests/cards/test_folds.py::test_the_card",
    "tests/cards/test_table_run.py::test_the_folder_holds_all",
    "tests/cards/test_table_run.py"
    "::test_the_saved_model_is_the_model_of_all_rows",
    "tests/estimators/test_moe_classifier.py"
    "::test_it_works_in_cross_validation",
    "tests/estimators/test_moe_classifier.py::test_progress",
    "tests/export/test_texts.py"
    "::test_hostile_texts_are_served_without_this_package[300-8]",
    "tests/layers/test_blocks.py::test_saved_model_of_any_length",
    "tests/layers/test_dispatches.py::test_static_dispatches_compile[capacity]",
    "tests/layers/test_embedded_experts_training.py"
    "::test_a_mixture_of_hashed_texts_learns",
    "tests/layers/test_feature_gating.py::test_a_mixture_of_texts_is_trained",
    "tests/layers/test_forest_expert.py::test_in_a_mixture_and_a_saved_model",
    "tests/layers/test_layer_gradients.py"
    "::test_gradient_is_the_finite_difference[attention]",
    "tests/layers/test_layer_gradients.py"
    "::test_gradient_is_the_finite_difference[lstm]",
    "tests/layers/test_linear_expert.py"
    "::test_a_sign_makes_it_monotone_to_the_last_bit[pieces-mixed_bfloat16]",
    "tests/layers/test_linear_expert.py"
    "::test_a_sign_makes_it_monotone_to_the_last_bit[steps-mixed_bfloat16]",
    "tests/layers/test_lora.py::test_fit_moves_lora_alone",
    "tests/layers/test_mixture_training.py::test_it_fits[False]",
    "tests/layers/test_ngram_adapt.py::test_a_preset_keeps_keys_exactly[True]",
    "tests/layers/test_ngram_adapt.py"
    "::test_training_lowers_the_loss_and_a_fold_keeps_it[inverse_frequency]",
    "tests/lifecycle/test_keep_experts.py::test_it_saves_loads_and_trains",
    "tests/prediction/test_texts.py"
    "::test_the_command_names_the_expert_that_decided",
    "tests/runner/test_out_of_fold.py"
    "::test_it_goes_on_after_the_parts_that_are_done",
    "tests/runner/test_train.py::test_afresh",
    "tests/runner/test_train.py::test_interrupted_and_gone_on",
    "tests/runner/test_train.py"
    "::test_the_model_is_loaded_with_the_layers_alone",
    "tests/runner/test_train_stages.py",
    "tests/search/test_evaluation.py::test_every_cached_gate[bias]",
    "tests/search/test_evaluation.py::test_every_cached_gate[cosine]",
    "tests/search/test_evaluation.py::test_every_cached_gate[noisy]",
    "tests/search/test_evaluation.py::test_every_cached_gate[sigmoid_2]",
    "tests/search/test_evaluation.py::test_every_cached_gate[top_1]",
    "tests/search/test_evaluation.py::test_every_cached_gate[top_p]",
    "tests/search/test_evaluation.py::test_every_cached_gate[unnormalised]",
    "tests/search/test_evaluation.py"
    "::test_fusions_shared_paths_banks_and_dispatches",
    "tests/search/test_evaluation.py::test_gates_of_positions",
    "tests/search/test_evaluation.py::test_half_policies",
    "tests/search/test_oracles.py::test_a_bayesian_search_learns",
    "tests/search/test_select_experts.py"
    "::test_exhaustive_is_brute_force[sparse]",
    "tests/test_cli_training.py::test_a_full_disk_is_one_error",
    "tests/test_documents.py::test_code_blocks_run[docs/data.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/image_models.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/multi_task.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/risk_models.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/tuning.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/sentiment_models.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/staged_training.md]",
    "tests/test_documents.py::test_code_blocks_run[docs/tabular_experts.md]",
    "tests/test_documents.py::test_example_runs[examples/breast_cancer.py]",
    "tests/test_documents.py::test_example_runs[examples/digits.py]",
    "tests/test_documents.py::test_example_runs[examples/multi_task.py]",
    "tests/test_documents.py::test_example_runs[examples/select_experts.py]",
    "tests/test_documents.py::test_example_runs[examples/tune_digits.py]",
    "tests/test_rules.py"
    "::test_rule_09_every_argument_changes_something[MoEFeedForward]",
    "tests/test_rules.py"
    "::test_rule_09_every_argument_changes_something[MoETransformerBlock]",
    "tests/training/test_expert_view.py::test_the_model_is_as_before",
    "tests/training/test_recipe_stages.py"
    "::test_each_stage_has_its_own_rate_and_schedule",
    "tests/training/test_recipe_stages.py::test_interrupted_and_gone_on_with",
    "tests/training/test_resumable.py::test_afresh",
    "tests/training/test_resumable.py::test_kinds_of_state",
    "tests/training/test_risk.py"
    "::test_the_gate_and_the_temperature_learn_out_of_fold",
    "tests/training/test_stages.py"
    "::test_only_what_is_named_changes[likelihood]",
    "tests/training/test_stages_fit.py"
    "::test_each_stage_has_an_optimizer_without_a_past",
    "tests/training/test_stages_fit.py"
    "::test_flags_and_optimizer_are_back_after_an_error",
    "tests/training/test_stages_fit.py::test_the_default_stages",
    "tests/training/test_stages_fit.py::test_the_model_is_compiled_as_before",
    "tests/training/test_stages_held_out.py::test_it_is_a_fit_to_these_rows",
    "tests/zoo/test_image.py::test_it_overfits_32_digits",
    "tests/zoo/test_image.py::test_no_expert_of_the_default_is_left_out",
    "tests/zoo/test_image_variants.py"
    "::test_it_learns_digits_and_survives_a_file[backbone]",
    "tests/zoo/test_image_variants.py"
    "::test_it_learns_digits_and_survives_a_file[conv]",
    "tests/zoo/test_image_variants.py"
    "::test_it_learns_digits_and_survives_a_file[vit]",
    "tests/zoo/test_risk.py"
    "::test_it_learns_and_survives_a_file_and_a_saved_model",
    "tests/zoo/test_risk_targets.py"
    "::test_a_fit_of_experts_and_gate_knows_the_shares_too",
    "tests/zoo/test_risk_targets.py::test_a_missing_label_counts_nowhere",
    "tests/zoo/test_risk_targets.py"
    "::test_it_learns_and_survives_a_file_and_a_saved_model[mmoe]",
    "tests/zoo/test_risk_targets.py"
    "::test_it_learns_and_survives_a_file_and_a_saved_model[ple]",
    "tests/zoo/test_risk_targets.py"
    "::test_shares_are_corrected_in_the_model_and_can_be_found",
    "tests/zoo/test_risk_targets.py::test_weights_of_0_leave_rows_out_too",
    "tests/zoo/test_sentiment_options.py::test_an_argument_changes_something",
}

# Those that JAX compiles anew for every shape.
SLOW_ON_JAX = {
    "tests/layers/test_contract.py::test_contract[multi_gate]",
    "tests/layers/test_dispatches.py::test_all_dispatches_equal_dense",
    "tests/layers/test_dispatches.py"
    "::test_auto_never_makes_the_default_fit_fail",
    "tests/layers/test_dispatches.py::test_capacity_runs_banks_of_every_kind",
    "tests/layers/test_dispatches.py::test_static_dispatches_compile[dense]",
    "tests/layers/test_multi_gate_mixture.py"
    "::test_gradient_is_the_finite_difference[2]",
    "tests/layers/test_multi_gate_mixture.py"
    "::test_it_is_the_loop_and_its_slopes[mmoe-1]",
    "tests/ops/test_capacity.py::test_seats_buffers_and_the_way_back",
    "tests/zoo/presets/test_loading.py",
    "tests/zoo/presets/test_weight_file.py"
    "::test_a_weight_that_is_not_finite_is_refused",
    "tests/zoo/presets/test_weight_file.py"
    "::test_equal_weights_make_equal_files",
    "tests/zoo/presets/test_weight_file.py::test_weights_come_back",
}


def names_of(node_id):
    """The test, its function and its module, as they stand above."""
    return {node_id, node_id.split("[")[0], node_id.split("::")[0]}
