-- What one merchant is paid for one currency and period: four eyes, then a withdrawal.
create table settlements (
    id uuid constraint settlements_pkey primary key,
    merchant_id uuid not null,
    currency text not null constraint settlements_currency_is_iso4217 check (currency ~ '^[A-Z]{3}$'),
    cycle text not null constraint settlements_cycle_known check (cycle in ('daily')),
    -- From period_start (inclusive) to period_end (exclusive); older entries that it takes along are carried over.
    period_start timestamptz not null,
    period_end timestamptz not null,
    gross_amount bigint not null,
    refund_amount bigint not null,
    fee_amount bigint not null,
    -- Earlier payouts of this merchant that failed or came back, and are paid out again with this settlement.
    returned_amount bigint not null,
    net_amount bigint not null constraint settlements_net_positive check (net_amount > 0),
    entry_count bigint not null constraint settlements_settle_something check (entry_count > 0),
    carried_over_count bigint not null,
    status text not null constraint settlements_status_known check (
        status in ('pending_approval', 'approved', 'rejected', 'processing', 'completed', 'failed')
    ),
    -- Of its last event; dense from 1, guarded by the row's lock.
    sequence bigint not null constraint settlements_sequence_positive check (sequence > 0),
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    -- The approval or the rejection.
    decided_by text,
    decided_by_name text,
    decision_comments text,
    decided_at timestamptz,
    executed_by text,
    executed_at timestamptz,
    withdrawal_no uuid constraint settlements_withdrawal_once unique,
    finished_at timestamptz,
    failure_code text,
    constraint settlements_period_runs_forward check (period_start < period_end),
    constraint settlements_net_is_the_sum check (
        net_amount = gross_amount - refund_amount - fee_amount + returned_amount
    ),
    constraint settlements_carry_over_is_part check (carried_over_count between 0 and entry_count),
    constraint settlements_decided_unless_pending check (
        (status = 'pending_approval') = (decided_by is null) and (decided_by is null) = (decided_at is null)
    ),
    -- Four eyes: whoever creates a settlement does not approve it.
    constraint settlements_approver_is_not_creator check (status = 'rejected' or decided_by <> created_by),
    constraint settlements_executed_with_withdrawal check (
        (status in ('processing', 'completed', 'failed')) = (withdrawal_no is not null)
        and (withdrawal_no is null) = (executed_by is null)
        and (withdrawal_no is null) = (executed_at is null)
    ),
    constraint settlements_finished_at_the_end check (
        (status in ('completed', 'failed')) = (finished_at is not null)
        and (status = 'failed') = (failure_code is not null)
    )
);

-- Newest first per merchant; ids are UUIDv7, so their order is that of creation.
create index settlements_of_merchant on settlements (merchant_id, id desc);

-- One row per ledger entry that a settlement takes (those with a component). The row has one place for a settlement, so that
-- no entry can be in two. Apart from the ledger because a line is let go when its settlement is rejected, and an entry never
-- changes.
create table settlement_lines (
    entry_id bigint constraint settlement_lines_pkey primary key
        constraint settlement_lines_of_an_entry references ledger_entries (id),
    merchant_id uuid not null,
    currency text not null,
    occurred_at timestamptz not null,
    -- Null while unsettled; a rejected settlement lets go of its lines.
    settlement_no uuid
        constraint settlement_lines_of_a_settlement references settlements (id) deferrable initially deferred,
    carried_over boolean not null default false,
    constraint settlement_lines_carried_over_when_settled check (settlement_no is not null or not carried_over)
);

create index settlement_lines_unsettled on settlement_lines (merchant_id, currency, occurred_at)
    where settlement_no is null;
create index settlement_lines_of_settlement on settlement_lines (settlement_no, entry_id)
    where settlement_no is not null;
