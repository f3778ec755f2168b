//! Every promise of the seam, run for all keepers.
//!
//! A promise is an async function over a [`store::Store`]; the lists at the end run each over SQLite
//! and over PostgreSQL, and what is promised of objects over a bucket as well. What only one of them can break has a file of its own.

mod accounts;
mod blobs;
mod broken;
mod broker;
mod bucket_alone;
mod claims;
mod copy;
mod deeds;
mod filters;
mod holds;
mod jobs;
mod kudos;
mod leadership;
mod lent;
mod making;
mod people;
mod records;
mod requests;
mod several;
mod signals;
mod statements;
mod stats;
pub mod store;
mod styles;
mod teams;
mod transfers;
mod verify;
mod webhooks;

macro_rules! promises {
    ($($keeper:ident $named:ident)*; $lists:tt) => {
        $( promises! { @one $keeper $named $lists } )*
    };
    (@one $keeper:ident $named:ident { $($file:ident: $($promise:ident)*;)* }) => {
        mod $named {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$file::$promise(super::store::Store::fresh(super::store::Keeper::$keeper).await).await;
                }
            )*)*
        }
    };
}

promises! { Sqlite sqlite Postgres postgres; {
    records:
        a_batch_that_fails_leaves_nothing_behind
        a_posting_counts_once
        balances_are_the_sums_of_postings_and_cancel_out
        batches_at_the_same_time_add_up_without_getting_in_each_others_way
        what_a_worker_says_replaces_what_it_said_and_keeps_its_figures
        the_newest_speeds_are_kept_in_order
        an_account_is_found_by_its_key
        the_secret_is_made_once
        they_can_be_reached;
    requests:
        an_attempt_ends_once
        a_job_has_one_open_attempt
        a_request_is_done_when_nothing_more_will_come
        what_was_committed_is_loaded
        a_whole_life_fits_into_one_batch
        texts_come_back_as_they_were
        what_is_over_is_swept_with_its_attempts;
    deeds:
        a_refused_deed_leaves_nothing_and_the_others_hold
        only_an_open_attempt_ends
        a_job_is_given_out_once
        nothing_is_given_out_of_a_request_that_is_over
        nobody_has_more_jobs_waiting_than_the_limit
        a_request_is_dropped_when_its_time_is_over_and_no_sooner
        a_name_is_taken_once
        nobody_has_more_workers_than_the_limit_and_one
        a_figure_is_kept_of_the_jobs_that_wait
        requests_and_people_are_found_by_their_ids
        a_sweep_leaves_what_was_made_to_last_longer;
    people:
        what_is_ruled_of_a_worker_stays_whatever_the_worker_says
        suspicions_add_up_over_brokers_and_are_cleared
        a_new_name_is_taken_once
        a_worker_goes_unless_it_holds_a_job
        alchemists_do_not_count_against_the_limit
        what_holds_for_everybody_comes_back;
    filters:
        filters_come_back_as_they_were_written
        a_filter_is_changed_by_whoever_saw_it_last
        no_two_filters_are_alike
        a_filter_goes_once;
    stats:
        what_is_counted_adds_up_over_batches_and_brokers
        periods_slide
        what_is_folded_is_told_as_before
        counting_and_folding_at_the_same_time_lose_nothing
        of_many_models_those_with_most_jobs_are_told;
    webhooks:
        a_webhook_is_with_one_taker_at_a_time
        hosts_that_are_busy_are_passed_over
        a_webhook_ends_or_is_due_again
        the_oldest_webhooks_are_dropped_past_a_number
        a_request_is_kept_until_its_webhooks_are_through
        a_refused_result_tells_nobody;
    kudos:
        what_is_put_aside_is_an_account_of_its_own_and_given_back_once
        a_role_is_given_beside_those_that_are_there
        time_online_is_paid_for_once
        reasons_for_suspicion_are_counted_and_taken_back;
    accounts:
        who_an_account_is_and_what_is_said_of_it_comes_back
        an_account_is_amended_part_by_part_by_whichever_broker
        a_key_takes_the_place_of_the_one_that_it_was_made_for_or_of_none
        keys_identities_and_passkeys_are_one_accounts
        who_signs_in_has_one_account_and_is_found
        an_account_that_is_wiped_lends_no_key
        accounts_are_ranked_and_wiped_ones_left_out;
    lent:
        a_key_that_is_lent_comes_back_with_its_account
        what_is_spent_with_a_key_is_counted_down_to_nothing
        an_account_lends_no_more_keys_than_its_limit
        a_key_changes_part_by_part_until_it_goes
        no_more_is_kept_of_a_key_than_it_has
        what_is_spent_with_a_key_is_taken_from_what_is_kept_of_it
        what_is_left_of_a_key_is_free_once_its_request_is_done
        who_keeps_kudos_of_a_key_at_the_same_time_see_each_other;
    teams:
        a_team_comes_back_as_it_was_founded_and_changed
        a_teams_name_is_taken_once_in_any_case
        a_team_that_is_dissolved_leaves_its_workers_without_one
        figures_of_teams_add_up;
    styles:
        a_style_comes_back_as_it_was_and_is_found_by_its_names
        an_author_has_one_style_of_a_name
        a_change_rests_on_the_revision_before
        lists_have_pages_in_order_of_the_public_ones
        uses_are_counted_with_the_request_and_thank_the_author
        collections_are_kept_as_styles_are;
    transfers:
        a_transfer_is_done_once
        kudos_do_not_come_back_at_once
        no_more_is_given_than_there_is_beside_what_is_set_aside
        of_transfers_at_the_same_time_just_those_pass_that_are_covered
        kudos_that_cross_do_not_both_arrive
        a_lent_key_is_filled_if_it_is_bounded
        what_moves_kudos_is_counted
        a_month_is_paid_once
        monthly_kudos_never_fall_below_nothing_and_begin_their_months_once;
    verify:
        books_that_add_up_are_good
        what_was_tampered_with_is_found
        what_accounts_hold_is_told;
    holds:
        no_more_kudos_are_set_aside_than_there_are
        of_deeds_in_one_call_those_hold_that_are_covered
        an_account_without_a_balance_sets_aside_what_it_may_owe
        what_a_request_costs_is_taken_from_what_is_set_aside_for_it
        what_is_left_is_free_once_the_request_is_done
        a_hold_goes_with_its_request
        who_sets_aside_and_who_takes_at_the_same_time_see_each_other;
} }

promises! { Sqlite files Postgres chunks Bucket bucket; {
    blobs:
        an_object_comes_back_as_it_was_stored
        an_object_is_replaced_whole
        an_object_that_is_not_there_is_none
        two_writers_leave_one_whole_object
        names_are_listed_in_order_between_two_bounds
        the_beginning_of_an_object_tells_of_the_rest
        names_are_the_brokers_own;
} }
