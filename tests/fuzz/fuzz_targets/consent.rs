//! Everything that travels as CBOR or COSE: it is refused, or it is the one encoding of what was understood.
#![no_main]
use libfuzzer_sys::fuzz_target;
use tegata_consent::cbor;
use tegata_consent::cose::Signed;
use tegata_consent::deposit::{Deposit, DepositReceipt, DrawerList, SealedRecord};
use tegata_consent::entry::Entry;
use tegata_consent::fetch::{FetchAnswer, FetchRequest, GrantHistory};
use tegata_consent::header::CertifiedHeader;
use tegata_consent::ids::ChainId;
use tegata_consent::invitation::Invitation;
use tegata_consent::lock::Lock;
use tegata_consent::order::Order;
use tegata_consent::proof::{Receipt, StateProof};
use tegata_consent::request::ConsentRequest;
use tegata_consent::ticket::Ticket;

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let chain = ChainId([7; 32]);
    match kind % 16 {
        0 => drop(Entry::parse(bytes)),
        1 => drop(cbor::decode::<CertifiedHeader>(bytes, CertifiedHeader::LIMIT)),
        2 => drop(cbor::decode::<SealedRecord>(bytes, SealedRecord::LIMIT)),
        3 => drop(cbor::decode::<DrawerList>(bytes, DrawerList::LIMIT)),
        4 => drop(cbor::decode::<GrantHistory>(bytes, GrantHistory::LIMIT)),
        5 => drop(cbor::decode::<FetchRequest>(bytes, FetchRequest::LIMIT)),
        6 => drop(cbor::decode::<FetchAnswer>(bytes, FetchAnswer::LIMIT)),
        7 => drop(Receipt::parse(bytes)),
        8 => drop(StateProof::parse(bytes)),
        9 => drop(Lock::parse(bytes)),
        10 => drop(Order::open(bytes, &chain)),
        11 => drop(Invitation::open(bytes, &chain)),
        12 => drop(Deposit::open(bytes, &chain)),
        13 => drop(DepositReceipt::open(bytes, &chain)),
        14 => drop(ConsentRequest::open(bytes, &chain)),
        _ => drop(Ticket::open(bytes, &chain)),
    }
});
