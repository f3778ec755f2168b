//! Transfers, awards, and the check of the books.

use gridbroker::rpc::admin::AddUserRequest;
use serde_json::json;
use tonic::Code;

use super::{Names, Scene};
use crate::harness::{
    ADA, ALICE, ANONYMOUS, BOB, Broker, CAROL, DAVE, MALLORY, MONA, OPEN_KEY, Row, SAM, Verb,
    Verdict::{self, Done, Fields, Reason},
};

const NOBODY: &str = "nobody-has-this-key";
const SCHOOL: &str = "the-key-of-a-school";

pub fn scene() -> Scene {
    Scene {
        name: "kudos",
        settings: |_| {},
        prepare: |broker| Box::pin(prepare(broker)),
        rows: rows(),
        is_void: false,
    }
}

async fn prepare(broker: &Broker) -> Names {
    let operator = gridbroker::server::admin::connect(broker.data()).await.expect("its socket is there");
    let school = AddUserRequest {
        alias: "school".into(),
        kudos: 100,
        roles: vec!["education".into()],
        api_key: Some(SCHOOL.into()),
        ..Default::default()
    };
    operator.expect("it runs").add_user(school).await.expect("it is made");
    let rent = json!({"username": "bob#2", "amount": 1, "idempotency_key": "rent"});
    broker.json(ALICE).post("/kudos/transfer", rent).await.ok();
    broker.json(BOB).post("/kudos/transfer", json!({"username": "carol#3", "amount": 1})).await.ok();
    let key = broker.lends(gridbroker::rpc::admin::AddSharedKeyRequest { owner: 3, ..OPEN_KEY }).await;
    Names::from([("key", key)])
}

/// A state that does not allow it.
fn state(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::FailedPrecondition)
}

fn wrong(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::InvalidArgument)
}

/// Who asks may not, whatever it is.
fn barred(rc: &'static str) -> Verdict {
    Reason(400, rc, Code::PermissionDenied)
}

fn rows() -> Vec<Row> {
    let unknown = Reason(401, "InvalidAPIKey", Code::Unauthenticated);
    let may_not = Reason(403, "NotAllowedAwards", Code::PermissionDenied);
    let conflict = Reason(400, "IdempotencyKeyConflict", Code::AlreadyExists);
    rows! {
        "a transfer": TransferKudos ALICE, {"username": "carol#3", "amount": 2} => Done(200);
        "to a lent key": TransferKudos ALICE, {"username": "<key>", "amount": 2} => Done(200);
        "the same again": TransferKudos ALICE, {"username": "bob#2", "amount": 1, "idempotency_key": "rent"} => Done(200);
        "another under its name": TransferKudos ALICE, {"username": "bob#2", "amount": 2, "idempotency_key": "rent"} =>
            conflict;
        "more than there is": TransferKudos ALICE, {"username": "bob#2", "amount": 976} => state("KudosTransferNotEnough");
        "without a key": TransferKudos None, {"username": "bob#2"} => Fields(&["apikey"]);
        "without a receiver": TransferKudos ALICE, {} => Fields(&["username"]);
        "under a name that is too long": TransferKudos ALICE, {"username": "2", "idempotency_key": "x".repeat(256)} =>
            Fields(&["idempotency_key"]);
        "nobody's key": TransferKudos NOBODY, {"username": "bob#2"} => unknown;
        "everybody's": TransferKudos ANONYMOUS, {"username": "nobody"} => barred("KudosTransferFromAnon");
        "to nobody": TransferKudos ALICE, {"username": "nobody"} => wrong("InvalidTargetUsername");
        "to an account that there is not": TransferKudos ALICE, {"username": "bob#99"} => wrong("InvalidTargetUsername");
        "to a key that there is not": TransferKudos ALICE, {"username": "77777777-7777-4777-8777-777777777777"} =>
            wrong("InvalidTargetUsername");
        "to an account's key": TransferKudos ALICE, {"username": BOB} => wrong("InvalidTargetUsername");
        "to everybody": TransferKudos ALICE, {"username": "Anonymous#0"} => wrong("KudosTransferToAnon");
        "to oneself": TransferKudos ALICE, {"username": "1"} => wrong("KudosTransferToSelf");
        "to a key of one's own": TransferKudos CAROL, {"username": "<key>"} => wrong("KudosTransferToSelf");
        "back, too soon": TransferKudos CAROL, {"username": "bob#2", "amount": 1} => state("TooFastKudosTransfers");
        "from who is flagged": TransferKudos MALLORY, {"username": "bob#2"} => barred("SourceAccountFlagged");
        "from a school": TransferKudos SCHOOL, {"username": "bob#2"} => barred("EducationCannotSendKudos");
        "to who is flagged": TransferKudos SAM, {"username": "mallory#6"} => state("TargetAccountFlagged");
        "to who is to be deleted": TransferKudos SAM, {"username": "dave#5"} => state("DeletedUser");
        "from who is to be deleted": TransferKudos DAVE, {"username": "sam#7"} => state("DeletedUser");
        "less than nothing": TransferKudos SAM, {"username": "bob#2", "amount": (-1)} => wrong("NegativeKudosTransfer");
        "nothing": TransferKudos SAM, {"username": "bob#2", "amount": 0} => wrong("InvalidKudosTransferAmount");
        "NUL in a name": TransferKudos SAM, {"username": "bob\u{0}#2"} => wrong("NulByteInPayload");
        "an award": AwardKudos ALICE, {"username": "carol#3", "amount": 2} => Done(200);
        "which may take": AwardKudos ALICE, {"username": "carol#3", "amount": (-2)} => Done(200);
        "without a receiver": AwardKudos ALICE, {} => Fields(&["username"]);
        "without a key": AwardKudos None, {"username": "carol#3"} => Fields(&["apikey"]);
        "nobody awards": AwardKudos NOBODY, {"username": "carol#3"} => unknown;
        "nor does everybody": AwardKudos ANONYMOUS, {"username": "carol#3"} => may_not;
        "nor an administrator": AwardKudos ADA, {"username": "carol#3"} => may_not;
        "nor who is to be deleted": AwardKudos DAVE, {"username": "carol#3"} =>
            Reason(403, "DeletedUser", Code::PermissionDenied);
        "to nobody": AwardKudos ALICE, {"username": "nobody"} => wrong("InvalidAwardUsername");
        "to a lent key": AwardKudos ALICE, {"username": "<key>"} => wrong("InvalidAwardUsername");
        "to everybody": AwardKudos ALICE, {"username": "0"} => wrong("KudosAwardToAnon");
        "to who is flagged": AwardKudos ALICE, {"username": "mallory#6"} => state("TargetAccountFlagged");
        "more than there is in the world": AwardKudos ALICE, {"username": "2", "amount": 1_000_000_000_001_i64} =>
            wrong("BadRequest");
        "the books": VerifyLedger MONA, {} => Done(200);
        "an administrator sees them": VerifyLedger ADA, {} => Done(200);
        "others do not": VerifyLedger ALICE, {} => Reason(403, "NotModerator", Code::PermissionDenied);
        "nor does nobody": VerifyLedger NOBODY, {} => unknown;
        "nor who says nothing": VerifyLedger None, {} => Fields(&["apikey"]);
    }
}
