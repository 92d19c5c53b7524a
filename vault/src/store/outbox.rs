//! Messages that wait for recipients.

use super::{Batch, Store, StoreError, Table, damaged, id};
use crate::rows::{Message, MessageKind};
use tegata_consent::ids::{GrantId, OrganisationId};

impl Store {
    /// The next recipient with messages, after another.
    pub(crate) fn next_recipient(
        &self,
        after: Option<&OrganisationId>,
    ) -> Result<Option<OrganisationId>, StoreError> {
        let from = after
            .map(|after| [after.0.as_slice(), &[0xff]].concat())
            .unwrap_or_default();
        match self.scan(Table::Outbox, &[], &from).next() {
            Some(row) => Ok(Some(id(&row?.0, 0, OrganisationId::LEN)?)),
            None => Ok(None),
        }
    }

    /// Messages to a recipient: tickets, then pings, one for each grant; made of at most `rows_max` rows.
    pub(crate) fn messages(
        &self,
        recipient: &OrganisationId,
        rows_max: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let mut messages: Vec<Message> = Vec::new();
        for row in self
            .scan(Table::Outbox, &[&recipient.0], &[])
            .take(rows_max)
        {
            let key = row?.0;
            let kind = match key.get(OrganisationId::LEN) {
                Some(1) => MessageKind::Ticket,
                Some(2) => MessageKind::Ping,
                _ => return Err(damaged(&key)),
            };
            let grant: GrantId = id(&key, OrganisationId::LEN + 1, GrantId::LEN)?;
            match messages.last_mut() {
                Some(last) if last.kind == kind && last.grant == grant => last.rows.push(key),
                _ => messages.push(Message {
                    recipient: *recipient,
                    kind,
                    grant,
                    rows: vec![key],
                }),
            }
        }
        Ok(messages)
    }

    /// The recipient took a message (`delivered_ms`), or it is void. Rows that came meanwhile stay.
    pub(crate) fn settle(
        &self,
        message: &Message,
        delivered_ms: Option<u64>,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for key in &message.rows {
            batch.delete(Table::Outbox, &[key]);
        }
        if let (MessageKind::Ticket, Some(time_ms)) = (message.kind, delivered_ms) {
            batch.put(
                Table::Delivered,
                &[&message.grant.0],
                &time_ms.to_be_bytes(),
            );
        }
        self.write(batch)
    }

    /// How many rows wait, counted up to a limit.
    pub(crate) fn outbox_length(&self, limit: usize) -> usize {
        self.scan(Table::Outbox, &[], &[]).take(limit).count()
    }
}
