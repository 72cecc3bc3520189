"""The faults that Aegis has to live through, one row each: what happens, what must then hold, and
the tests that show it. ``docs/faults.md`` is made from this table (``make evidence``).

A test is named by its file below ``tests`` and its function. Those under ``prove`` are run by
``make prove PART=...``; the others by ``make test``.
"""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """``tests`` show it; ``but`` is what they cannot show on one machine, or where the bar differs,
    and why that is argued to hold."""

    number: int
    fault: str
    target: str
    tests: tuple[str, ...]
    but: str = ""


FAULTS = (
    Fault(
        1,
        "The coordinator is killed (SIGKILL) at every write of a run, and at random moments",
        "Every resume ends with the same model and a log that verifies, within 5 seconds",
        (
            "prove/test_kill.py::test_every_resume_ends_with_the_same_model",
            "prove/test_faults_processes.py"
            "::test_fifty_kills_at_any_moment_are_resumed_within_five_seconds",
            "prove/test_auditlog.py::test_a_run_killed_at_any_write_of_its_log_resumes_and_verifies",
            "prove/test_kills.py::test_whoever_is_killed_the_run_ends_with_the_simulators_model",
            "operations/test_chaos.py::test_whatever_goes_wrong_the_invariants_hold",
        ),
    ),
    Fault(
        2,
        "A hospital is killed in each stage of a round",
        "The round ends by its deadline with enough survivors; the hospital is back in 10 seconds",
        (
            "coordinator/test_sealing.py"
            "::test_a_hospital_that_falls_silent_at_any_stage_costs_nobody_else_the_round",
            "secagg/test_protocol.py::test_as_many_as_may_be_lost_at_any_stage_and_not_one_more",
            "prove/test_roads.py::test_a_hospital_that_is_killed_and_restarted_costs_no_round",
            "prove/test_faults_processes.py"
            "::test_a_hospital_that_was_killed_is_connected_again_within_ten_seconds",
        ),
    ),
    Fault(
        3,
        "A hospital is killed after its budget was charged and before the answer was sent",
        "The same bytes are sent, or none; nothing is charged twice",
        (
            "prove/test_ledger.py"
            "::test_ten_thousand_schedules_never_overspend_and_never_answer_twice",
            "prove/test_ledger.py::test_kill_9_at_any_moment_loses_no_charge_and_changes_no_answer",
            "hospital/test_mechanisms.py::test_a_crash_after_the_charge_costs_one_round_once",
            "prove/test_roads.py::test_ledgers_are_charged_once_whoever_is_killed",
        ),
    ),
    Fault(
        4,
        "The coordinator is killed after it aggregated and before it told anybody",
        "The same model after the resume",
        (
            "prove/test_kill.py::test_every_resume_ends_with_the_same_model",
            "coordinator/test_sealing.py"
            "::test_a_coordinator_that_dies_in_any_stage_goes_on_with_hospitals_that_live",
            "operations/test_running.py::test_a_coordinator_that_restarts_goes_on_with_its_run",
        ),
    ),
    Fault(
        5,
        "The courier (SuperLink, Prosody) is killed in the middle of a round",
        "The round completes, or is tried again, within 60 seconds",
        (
            "prove/test_kills.py::test_whoever_is_killed_the_run_ends_with_the_simulators_model",
            "prove/test_flower.py::test_a_superlink_killed_at_random_points_costs_seconds",
            "prove/test_flower.py::test_a_relay_killed_at_random_points_costs_a_new_flower_run",
            "prove/test_xmpp.py::test_a_killed_server_loses_nothing_of_45_mb",
            "transport/xmpp/test_road.py::test_a_server_that_is_killed_mid_round_loses_no_answer",
        ),
        "Two of the tests allow 120 seconds, as they may share their machine with others: one "
        "with 45 MB on their way through a killed Prosody, one whose SuperLink is killed.",
    ),
    Fault(
        6,
        "Lines of hospitals go down for 5, 30 and 120 seconds during a sealed run",
        "As many as may be lost: it goes on; more: nothing is opened, and no share too many left",
        (
            "prove/test_faults_lines.py"
            "::test_a_run_goes_on_without_the_one_that_is_cut_off_and_takes_it_back",
            "prove/test_faults_lines.py"
            "::test_with_two_cut_off_nothing_is_opened_and_it_goes_on_when_they_are_back",
            "prove/test_faults_lines.py"
            "::test_more_cut_off_than_may_be_lost_end_the_run_without_a_share_too_many",
            "prove/test_kills.py::test_a_line_that_is_cut_costs_its_time_and_nothing_else",
            "secagg/test_protocol.py::test_an_abort_leaves_no_secret_with_t_of_its_shares",
        ),
        "Real processes in network namespaces, which need root. That fewer shares than the "
        "threshold tell nothing is shown by the protocol's own trials, not on the wire.",
    ),
    Fault(
        7,
        "Messages are lost, late, repeated and overtaken, lines cut, parties die: by seed",
        "All invariants hold in 200 seeds",
        (
            "prove/test_chaos.py::test_whatever_goes_wrong_the_invariants_hold",
            "prove/test_chaos.py::test_most_runs_end_with_a_model",
            "operations/test_chaos.py::test_the_checker_finds_what_it_is_there_to_find",
        ),
    ),
    Fault(
        8,
        "Messages of an old round or another run come again",
        "All refused, each with a line in the log",
        (
            "transport/test_sealed.py::test_yesterdays_envelopes_are_refused_today",
            "transport/test_sealed.py::test_without_a_listener_refusals_are_logged",
            "transport/test_envelope.py::test_an_envelope_is_taken_once_also_after_a_restart",
            "transport/test_envelope.py::test_a_header_that_is_not_the_expected_one_is_refused",
            "store/test_replay.py::test_nothing_is_ever_taken_twice_whatever_the_clock_does",
        ),
    ),
    Fault(
        9,
        "Bits of a message are flipped, or it is cut short",
        "Of 10,000 none is taken and nothing crashes",
        (
            "prove/test_envelope.py::test_ten_thousand_mutations_on_the_road_are_all_refused",
            "prove/test_envelope.py"
            "::test_ten_thousand_mutated_bodies_from_a_dishonest_hospital_do_no_harm",
            "transport/test_envelope.py::test_an_envelope_cut_short_anywhere_is_refused",
        ),
    ),
    Fault(
        10,
        "An update holds NaN, infinity, 1e30 or denormal numbers",
        "Refused and laid at its hospital's door; the round goes on",
        (
            "prove/test_faults_messages.py"
            "::test_ten_thousand_updates_with_a_number_that_is_none_are_refused",
            "prove/test_faults_messages.py"
            "::test_a_number_that_is_none_is_refused_by_name_and_the_round_goes_on",
            "prove/test_faults_messages.py::test_a_denormal_is_a_number_and_moves_nothing",
            "secagg/test_encoding.py"
            "::test_a_number_that_is_not_finite_or_beyond_its_bound_is_refused_by_name",
            "coordinator/test_sealing.py::test_a_round_that_makes_the_model_worse_is_not_taken",
        ),
        "A denormal number is a very small number and counts as one. In a sealed sum nobody sees "
        "one hospital's numbers: an honest hospital refuses to hand such in, and of a dishonest "
        "one only the sum can be judged, by its size, its claimed rows and the held-out loss.",
    ),
    Fault(
        11,
        "Tensors of another shape, type or name, one too many, or one twice",
        "Of 10,000 none is taken; memory grows by less than 50 MiB",
        (
            "prove/test_faults_messages.py"
            "::test_ten_thousand_bodies_with_tensors_that_do_not_fit_are_refused",
            "transport/test_schemas.py::test_only_the_exact_length_and_type_fit",
        ),
    ),
    Fault(
        12,
        "Bodies that announce 4 TiB, or never end, at every door that speaks HTTP",
        "Refused after no more than the limit and 64 KiB",
        (
            "prove/test_faults_messages.py::test_a_body_beyond_its_limit_is_read_no_further",
            "prove/test_faults_messages.py"
            "::test_the_courier_of_large_files_reads_no_more_than_the_size_it_gave_a_place_to",
            "console/test_listening.py::test_a_body_without_an_end_is_not_read_on_after_its_answer",
            "transport/flower/test_gateway.py::test_an_oversized_body_is_refused_before_it_is_sent",
            "transport/flower/test_gateway.py::test_bad_http_is_refused_with_the_reason",
            "transport/xmpp/test_messages.py::test_a_bomb_is_refused_before_it_is_parsed",
            "transport/test_envelope.py::test_size_is_held_before_anything_is_looked_at",
        ),
        "The bar allows one read of the socket more (256 KiB), which is what came with the last "
        "byte that counted; Prosody keeps a buffer of 1 MiB of its own.",
    ),
    Fault(
        13,
        "The disk is full, at the coordinator or at a hospital",
        "No corruption, an error that says so, and it goes on when there is space",
        (
            "prove/test_faults_disks.py"
            "::test_a_coordinator_whose_disk_is_full_says_so_and_goes_on_when_there_is_space",
            "prove/test_faults_disks.py"
            "::test_a_hospital_whose_disk_is_full_sends_nothing_uncharged_and_comes_back",
            "prove/test_memory.py::test_a_run_stopped_at_any_write_goes_on_to_the_same_model",
            "prove/test_memory.py::test_files_that_may_not_grow_are_said_and_nothing_is_lost",
            "prove/test_postgres.py::test_whichever_write_fails_the_run_goes_on_to_the_same_model",
        ),
        "On disks of 8 MiB in memory, which need root to mount; beside them every sync to disk "
        "fails in turn, and files may not grow (RLIMIT_FSIZE). A hospital whose disk is full ends "
        "its process with the reason and is started again by its service manager.",
    ),
    Fault(
        14,
        "Writes that were not synced are lost or torn when the power goes",
        "At 500 moments nothing acknowledged is lost, and every database is whole",
        (
            "prove/test_faults_disks.py"
            "::test_five_hundred_power_cuts_lose_nothing_that_was_acknowledged",
            "prove/test_faults_disks.py::test_a_cut_that_tears_synced_sectors_would_be_found",
            "prove/test_auditlog.py"
            "::test_sixty_kills_while_appending_lose_nothing_that_was_acknowledged",
        ),
        "Nobody cuts the power of this machine: what may then lie on the disk is drawn, sector by "
        "sector, from the files before and after a write. A disk that acknowledges a sync and "
        "does not do it is beyond this, and beyond every database.",
    ),
    Fault(
        15,
        "Sixteen threads write one database for 60 seconds",
        "No error is seen; 99 of 100 writes take less than 200 ms",
        (
            "prove/test_faults_disks.py"
            "::test_sixteen_writers_see_no_error_and_wait_less_than_a_fifth_of_a_second",
            "store/test_turns.py"
            "::test_a_writer_waits_for_the_one_before_it_and_a_failed_one_leaves_the_way_free",
            "prove/test_postgres.py::test_many_writers_leave_no_gap_and_no_double",
        ),
        "Where other work fills the machine, the bar grows with its load.",
    ),
    Fault(
        16,
        "A byte of a database changes on disk; a model's file is lost",
        "Found before anything goes on from it, by hash; one command brings it back",
        (
            "prove/test_faults_disks.py"
            "::test_a_damaged_page_is_found_and_one_command_brings_the_data_root_back",
            "prove/test_faults_disks.py"
            "::test_a_damaged_state_is_found_before_a_run_goes_on_from_it",
            "prove/test_faults_disks.py"
            "::test_a_lost_or_damaged_model_is_found_and_one_command_brings_it_back",
            "prove/test_auditlog.py::test_a_changed_byte_of_any_file_is_found_or_holds_nothing",
            "hospital/test_ledger.py::test_a_changed_row_is_found_and_the_file_refused",
        ),
        "A byte in an unused part of a page changes nothing, and is not found. What happened "
        "before a run that goes on is checked by `aegis audit verify`, not at every start.",
    ),
    Fault(
        17,
        "Clocks are an hour off, step back, live through the end of summer time and a leap second",
        "Deadlines are not moved; tokens and envelopes bear a minute; the log keeps its order",
        (
            "prove/test_faults_clocks.py"
            "::test_a_hospital_whose_clock_is_an_hour_off_does_not_count_and_the_others_go_on",
            "prove/test_faults_clocks.py"
            "::test_a_hospital_whose_clock_is_less_than_a_minute_off_takes_part",
            "prove/test_faults_clocks.py"
            "::test_a_coordinators_clock_that_steps_stretches_no_deadline_and_keeps_the_order",
            "prove/test_faults_clocks.py"
            "::test_a_run_over_the_end_of_summer_time_and_a_leap_second_keeps_its_order",
            "console/people/test_tokens.py"
            "::test_a_clock_that_steps_by_less_than_a_minute_begins_and_ends_no_token",
            "transport/test_envelope.py::test_clocks_may_differ_by_a_minute",
            "store/test_audit_log.py::test_time_never_goes_back",
        ),
    ),
    Fault(
        18,
        "A hospital hangs (SIGSTOP): its connections stand, and it answers nothing",
        "The deadline cuts it off; no thread is left behind",
        (
            "prove/test_faults_processes.py"
            "::test_a_hospital_that_hangs_is_cut_off_by_the_deadline_and_leaves_no_thread",
            "transport/test_road.py::test_the_dead_cost_one_deadline_and_not_one_for_each_question",
        ),
    ),
    Fault(
        19,
        "Two coordinators are started on one data root",
        "The second refuses and says why; no round is played twice",
        (
            "prove/test_faults_processes.py"
            "::test_a_second_coordinator_on_one_data_root_refuses_and_disturbs_nothing",
            "operations/test_running.py::test_one_data_root_has_one_coordinator",
        ),
    ),
    Fault(
        20,
        "A hospital's process is killed by the kernel for want of memory",
        "It starts again; nothing is charged or sent twice",
        (
            "prove/test_faults_processes.py"
            "::test_a_hospital_without_memory_is_killed_restarts_and_is_charged_once",
            "deploy/test_systemd.py::test_a_unit_is_hardened_and_comes_back",
        ),
        "In a group of processes whose memory is limited (cgroup), which needs root. That it is "
        "started again is the work of the service manager; its unit is tested as text.",
    ),
    Fault(
        21,
        "A new version meets the data root of an older one, in the middle of a run",
        "It goes on, or refuses and says what to do; the format before always migrates",
        (
            "prove/test_faults_disks.py"
            "::test_a_run_that_an_older_version_began_is_refused_migrated_and_goes_on",
            "store/test_format.py"
            "::test_an_old_root_is_refused_unchanged_and_opens_once_it_is_migrated",
            "store/test_format.py::test_a_migration_that_fails_leaves_the_root_as_it_was",
            "store/test_format.py::test_a_root_of_a_newer_aegis_is_refused",
        ),
        "There is no released version yet: the older data root is made from the format that was.",
    ),
    Fault(
        22,
        "Made-up requests to every route of the REST interface, in every role",
        "Of 10,000 none fails unforeseen, breaks the schema, or gets what is not its own",
        (
            "prove/test_console_api.py::test_ten_thousand_requests_break_nothing",
            "console/coordinator/test_fuzzed.py"
            "::test_no_made_up_request_breaks_a_route_or_reaches_it_without_the_right",
        ),
    ),
    Fault(
        23,
        "Made-up input to every parser: tables, plans, envelopes, models, stanzas, exports",
        "Nothing uncaught; nothing takes longer than a second",
        (
            "prove/test_fuzz.py::test_ten_thousand_cases_break_nothing",
            "prove/test_fuzz.py::test_atheris_finds_nothing_either",
            "fuzz/test_parsers.py::test_a_parser_takes_anything_or_says_why_not",
        ),
    ),
    Fault(
        24,
        "A thousand rounds with eight hospitals and faults by seed",
        "Memory grows by less than 1 MiB in 100 rounds; no descriptor is left open",
        (
            "prove/test_soak.py::test_a_thousand_rounds_of_faults_leave_nothing_behind",
            "prove/test_soak.py::test_a_leak_would_be_found",
        ),
    ),
    Fault(
        25,
        "A backup is made while a run goes on, and restored elsewhere",
        "The restored run goes on to the same model; its log verifies",
        (
            "prove/test_faults_disks.py"
            "::test_a_backup_of_a_run_that_goes_on_is_restored_elsewhere_and_ends_with_its_model",
            "prove/test_faults_disks.py"
            "::test_a_coordinator_that_burned_down_goes_on_elsewhere_from_its_backup",
            "store/backup/test_backups.py"
            "::test_databases_are_copied_at_one_moment_while_they_are_written",
        ),
        "What was cosigned after the backup is remembered by the hospitals: a coordinator that is "
        "restored to an earlier moment and tells another story is refused, not believed.",
    ),
)
