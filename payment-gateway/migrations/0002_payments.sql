-- Payments and their refunds: the aggregate whose events go to payments.payment.v1.

create table payments (
    id               uuid        not null,
    merchant_id      uuid        not null,
    order_no         text        not null,
    customer_id      uuid        not null,
    channel          text        not null,
    amount           bigint      not null,
    currency         text        not null,
    -- Null: the customer chooses on the PSP's hosted page.
    payment_method   text,
    -- What the merchant wants back from us. It may contain anything, so it never leaves on a topic.
    description      text,
    metadata         jsonb       not null,
    notify_url       text,
    -- SHA-256 of the normalised request: tells a repeated order from another one with the same number.
    request_hash     bytea       not null,

    status           text        not null,
    -- The PSP's objects. Null until its answer is known.
    psp_intent       text,
    psp_session      text,
    payment_url      text,
    redirect_url     text,
    failure_code     text,
    -- Asked of the PSP, not yet confirmed by it.
    closing          text,
    paid_at          timestamptz,
    -- Sum of succeeded refunds, and of those that may still succeed.
    amount_refunded  bigint      not null default 0,
    amount_reserved  bigint      not null default 0,
    -- Number of the aggregate's last event; refunds count here too.
    sequence         bigint      not null,

    -- Work at the PSP. `next_check_at` is schedule and claim in one: whoever moves it into the future owns the next call.
    psp_attempts     integer     not null,
    -- When the charge was last posted, or was about to be.
    psp_posted_at    timestamptz not null,
    next_check_at    timestamptz,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,

    constraint payments_pkey primary key (id),
    constraint payments_merchant_fkey foreign key (merchant_id) references merchants (id),
    constraint payments_customer_fkey foreign key (customer_id) references customers (id),
    constraint payments_order_no_once unique (merchant_id, order_no),
    constraint payments_channel_known check (channel in ('stripe')),
    constraint payments_amount_positive check (amount > 0),
    constraint payments_currency_form check (currency ~ '^[A-Z]{3}$'),
    constraint payments_status_known check (status in (
        'pending', 'processing', 'requires_action', 'success', 'partially_refunded', 'refunded',
        'failed', 'cancelled', 'expired'
    )),
    constraint payments_closing_known check (closing in ('cancel', 'expire')),
    constraint payments_sequence_positive check (sequence > 0),
    -- Money that is not there cannot be given back, whatever the code above believes.
    constraint payments_refunds_within_amount check (
        amount_refunded >= 0 and amount_reserved >= 0 and amount_refunded + amount_reserved <= amount
    ),
    constraint payments_refunds_only_of_charged check (
        status in ('success', 'partially_refunded', 'refunded') or (amount_refunded = 0 and amount_reserved = 0)
    ),
    constraint payments_status_follows_refunds check (
        (status <> 'success' or amount_refunded = 0)
        and (status <> 'partially_refunded' or (amount_refunded > 0 and amount_refunded < amount))
        and (status <> 'refunded' or amount_refunded = amount)
    ),
    constraint payments_charged_has_proof check (
        status not in ('success', 'partially_refunded', 'refunded') or (psp_intent is not null and paid_at is not null)
    ),
    constraint payments_failed_has_code check ((status = 'failed') = (failure_code is not null)),
    -- A final payment asks nothing of the PSP any more; an open one is never forgotten.
    constraint payments_open_is_scheduled check (
        (status in ('pending', 'processing', 'requires_action')) = (next_check_at is not null)
    )
);
-- Lists run newest first, with or without a status.
create index payments_by_merchant on payments (merchant_id, created_at desc, id desc);
create index payments_by_status on payments (merchant_id, status, created_at desc, id desc);
-- What the sweeper is to look at next, and what staff see as stuck; final payments are not in it.
create index payments_due on payments (next_check_at) where next_check_at is not null;
-- One object of the PSP pays for one payment.
create unique index payments_psp_intent_once on payments (psp_intent) where psp_intent is not null;

create table refunds (
    id               uuid        not null,
    payment_id       uuid        not null,
    merchant_id      uuid        not null,
    amount           bigint      not null,
    currency         text        not null,
    reason           text,
    status           text        not null,
    psp_refund       text,
    failure_code     text,
    psp_attempts     integer     not null,
    psp_posted_at    timestamptz not null,
    next_check_at    timestamptz,
    created_at       timestamptz not null,
    updated_at       timestamptz not null,
    constraint refunds_pkey primary key (id),
    constraint refunds_payment_fkey foreign key (payment_id) references payments (id),
    constraint refunds_amount_positive check (amount > 0),
    constraint refunds_status_known check (status in ('pending', 'processing', 'succeeded', 'failed')),
    constraint refunds_failed_has_code check ((status = 'failed') = (failure_code is not null)),
    constraint refunds_open_is_scheduled check ((status in ('pending', 'processing')) = (next_check_at is not null))
);
create index refunds_by_payment on refunds (payment_id, created_at, id);
create index refunds_due on refunds (next_check_at) where next_check_at is not null;

-- Webhooks already worked off, so that a repeated one costs one look-up. Only a saving: the state machine alone makes
-- repetition harmless, so old rows are pruned.
create table psp_events (
    id          text        not null,
    event_type  text        not null,
    payment_id  uuid,
    received_at timestamptz not null,
    constraint psp_events_pkey primary key (id)
);
create index psp_events_by_age on psp_events (received_at);

-- What the PSP says against what we hold as final, e.g. a success for a cancelled payment. Never applied, never dropped:
-- staff decide.
create table psp_conflicts (
    id            uuid        not null,
    payment_id    uuid        not null,
    refund_id     uuid,
    kind          text        not null,
    psp_reference text        not null,
    -- Ours when it was seen, and theirs in our words.
    our_status    text        not null,
    psp_status    text        not null,
    psp_amount    bigint,
    psp_currency  text,
    observed_at   timestamptz not null,
    constraint psp_conflicts_pkey primary key (id),
    constraint psp_conflicts_payment_fkey foreign key (payment_id) references payments (id),
    constraint psp_conflicts_refund_fkey foreign key (refund_id) references refunds (id),
    -- The same contradiction, seen again, is the same conflict.
    constraint psp_conflicts_once unique (payment_id, kind, psp_reference)
);
create index psp_conflicts_by_time on psp_conflicts (observed_at desc, id desc);
