-- The payout of one settlement, and what the worker has to do about it.
create table withdrawals (
    id uuid constraint withdrawals_pkey primary key,
    settlement_no uuid not null constraint withdrawals_one_per_settlement unique
        constraint withdrawals_of_a_settlement references settlements (id),
    merchant_id uuid not null,
    currency text not null constraint withdrawals_currency_is_iso4217 check (currency ~ '^[A-Z]{3}$'),
    amount bigint not null constraint withdrawals_amount_positive check (amount > 0),
    status text not null constraint withdrawals_status_known check (
        status in ('pending', 'processing', 'completed', 'failed', 'returned')
    ),
    -- Of its last event; dense from 1, guarded by the row's lock.
    sequence bigint not null constraint withdrawals_sequence_positive check (sequence > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    started_at timestamptz,
    -- The bank's name for it, once its answer or its webhook came.
    payout_id text constraint withdrawals_payout_once unique,
    completed_at timestamptz,
    -- When it failed or came back.
    undone_at timestamptz,
    failure_code text,
    -- The bank's first contradiction of what it had said before; a person has to look at it.
    conflict text,
    conflict_at timestamptz,

    -- Work. When the worker looks at it next; null once there is nothing left to do.
    due_at timestamptz,
    -- Looks since the last change of state; the distance between looks grows with it.
    attempts integer not null default 0,
    -- When a request for the payout may first have left this process: posting again is safe only as long as the bank
    -- remembers the idempotency key.
    first_posted_at timestamptz,
    -- The replica at work, and until when the others leave it alone.
    claim uuid,
    claimed_until timestamptz,

    constraint withdrawals_started_after_pending check ((status = 'pending') = (started_at is null)),
    constraint withdrawals_completed_names_when check (
        case
            when status = 'completed' then completed_at is not null
            when status = 'returned' then true
            else completed_at is null
        end
    ),
    constraint withdrawals_undone_names_when_and_why check (
        (status in ('failed', 'returned')) = (undone_at is not null) and (undone_at is null) = (failure_code is null)
    ),
    constraint withdrawals_conflict_names_when check ((conflict is null) = (conflict_at is null)),
    constraint withdrawals_claim_expires check ((claim is null) = (claimed_until is null))
);

create index withdrawals_of_merchant on withdrawals (merchant_id, id desc);
create index withdrawals_due on withdrawals (due_at) where due_at is not null;

alter table settlements add constraint settlements_of_its_withdrawal
    foreign key (withdrawal_no) references withdrawals (id) deferrable initially deferred;
