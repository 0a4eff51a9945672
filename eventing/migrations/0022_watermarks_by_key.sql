-- Each event looks its aggregate up. The key tells most of them apart at once, the group and the topic hardly any, so the key
-- comes first: that halves what a look-up takes.
alter table eventing.watermarks
    drop constraint watermarks_pkey,
    add constraint watermarks_pkey primary key (key, topic, consumer_group);
