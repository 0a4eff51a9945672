-- Every payment event once: what GET /api/v1/events/payment lists. The primary key is what makes a repeated record harmless.
create table payment_events (
    event_id      uuid        not null,
    -- Counts arrivals, so that the dashboard can ask cheaply whether anything is new.
    position      bigint      generated always as identity,
    payment_no    uuid        not null,
    merchant_id   uuid        not null,
    sequence      bigint      not null,
    event_type    text        not null,
    old_status    text,
    new_status    text        not null,
    amount        bigint      not null,
    currency      text        not null,
    channel       text        not null,
    refund_no     uuid,
    refund_amount bigint,
    occurred_at   timestamptz not null,
    constraint payment_events_pkey primary key (event_id)
);

create index payment_events_position_idx on payment_events (position);
create index payment_events_merchant_idx on payment_events (merchant_id, occurred_at desc, event_id desc);
create index payment_events_recent_idx on payment_events (occurred_at desc, event_id desc);

-- The latest known state of each payment. Events may arrive in any order here, so only a higher sequence moves a row forward.
create table payments (
    payment_no      uuid        not null,
    merchant_id     uuid        not null,
    channel         text        not null,
    currency        text        not null,
    amount          bigint      not null,
    amount_refunded bigint      not null,
    status          text        not null,
    sequence        bigint      not null,
    -- The earliest event seen: the payment's interval in the statistics.
    first_seen_at   timestamptz not null,
    constraint payments_pkey primary key (payment_no)
);

create index payments_merchant_idx on payments (merchant_id, first_seen_at);
create index payments_time_idx on payments (first_seen_at);

-- The latest known state of each settlement and of each payout, moved forward in the same way.
create table payouts (
    kind        text        not null,
    aggregate   uuid        not null,
    merchant_id uuid        not null,
    currency    text        not null,
    amount      bigint      not null,
    status      text        not null,
    sequence    bigint      not null,
    occurred_at timestamptz not null,
    constraint payouts_pkey primary key (kind, aggregate),
    constraint payouts_kind_check check (kind in ('settlement', 'withdrawal'))
);

create index payouts_merchant_idx on payouts (merchant_id, kind);
