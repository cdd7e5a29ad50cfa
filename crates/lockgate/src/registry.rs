//! The one list of codes. A code never changes its meaning; a new meaning gets a new code.
//!
//! The letter says who has to act: `U` the command line, `C` the configuration, `S` the state directory, `N` the
//! network, `K` cryptography, `I` identity, `P` policy, `D` detection, `F` facts, `G` the map of what speaks MCP, `A` audit,
//! `M` the protocol, `X` us.

use std::sync::LazyLock;

use crate::exit::Exit;

/// A code, what it means and what to do about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Like `LG-C003`.
    pub(crate) code: &'static str,
    /// The meaning in a few words.
    pub(crate) title: &'static str,
    /// The meaning in full, one paragraph.
    pub(crate) meaning: &'static str,
    /// What to do, most likely remedy first.
    pub(crate) next: &'static [&'static str],
    /// How the process ends when this is why.
    pub(crate) exit: Exit,
}

/// Looks a code up; letter case does not matter.
pub(crate) fn find(code: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.code.eq_ignore_ascii_case(code))
}

/// Every code, in the order of the list.
pub(crate) fn all() -> &'static [Entry] {
    static ALL: LazyLock<Vec<Entry>> = LazyLock::new(|| [ENTRIES, found::ENTRIES].concat());
    &ALL
}

macro_rules! entries {
    ($($code:literal $exit:ident $title:literal $meaning:literal [$($next:literal),+ $(,)?])+) => {
        &[$(Entry { code: $code, title: $title, meaning: $meaning, next: &[$($next),+], exit: Exit::$exit }),+]
    };
}

mod found;

const ENTRIES: &[Entry] = entries! {
    "LG-U001" Usage
    "arguments that do not go together"
    "Each argument is fine alone, but together they ask for two different things, or one needs another that is not there."
    ["Run the verb with --help: the examples at the end show the usual combinations."]

    "LG-U002" Usage
    "nothing of that name"
    "What was asked for does not exist: a code, stage, finding or file name that nothing has."
    ["List what exists; the hint says with which verb."]

    "LG-U003" Usage
    "a file that was named cannot be read or written"
    "A file on the command line is not there, is not what it should be, may not be read or written by this user, or would be overwritten."
    ["Check its path, its permissions and what it holds.", "Choose a name that is not taken, in a folder that exists."]

    "LG-C001" Configuration
    "configuration file cannot be read"
    "The file named with --config or LOCKGATE_CONFIG does not exist, is not readable, or is not text."
    ["Check the path and its permissions.", "Leave --config away: Lockgate runs without any file."]

    "LG-C002" Configuration
    "configuration is not TOML"
    "The file breaks the syntax of TOML 1.0 at the place shown."
    ["Strings need quotes, tables need [brackets], a list of tables needs [[double brackets]].",
     "Start from a file in examples/: each is checked by the tests."]

    "LG-C003" Configuration
    "unknown key"
    "A key that no setting has. Lockgate refuses it, because a setting that is misspelt and ignored is a setting that you believe in and do not have."
    ["Correct or remove the key.", "List what exists: lockgate config schema, or lockgate config show."]

    "LG-C004" Configuration
    "value of the wrong type"
    "The setting takes another type of value: a string where a number stands, one value where a list belongs."
    ["Write the value in the type that the message names."]

    "LG-C005" Configuration
    "value outside its range"
    "The value has the right type but is not one that the setting can take: too small, too large, or not in the list of choices."
    ["Use a value from the range or list in the message."]

    "LG-C006" Configuration
    "missing key"
    "A table lacks a setting that has no default."
    ["Add the key that the message names."]

    "LG-C007" Configuration
    "value in the wrong form"
    "The value is text, but not the text that the setting needs: an address is HOST:PORT, a server is reached by http://, https:// or stdio:, a name is lower-case letters, digits and hyphens."
    ["Write the value in the form that the message shows."]

    "LG-C008" Configuration
    "the same thing twice"
    "Two servers share a name, or two listeners share an address. Names appear in URLs, tool names and policies, so that each must mean one server."
    ["Give one of them another name or address."]

    "LG-C009" Configuration
    "file named by the configuration cannot be used"
    "A certificate, key or policy file that the configuration names cannot be read or does not hold what it should."
    ["Check the path (relative paths start at the configuration file's folder) and the permissions.",
     "A key file must be PKCS#8 PEM and readable by its owner only: chmod 600 FILE."]

    "LG-C010" Configuration
    "unknown environment variable"
    "A variable starts with LOCKGATE_ but no setting has its name. It is refused for the same reason as an unknown key."
    ["The form is LOCKGATE_SECTION_KEY, as in LOCKGATE_LIMITS_LINKS_MAX.", "Unset it: env -u NAME lockgate …"]

    "LG-C011" Configuration
    "no server to serve"
    "A gateway needs at least one MCP server behind it."
    ["Name one: lockgate gateway --to http://127.0.0.1:3001/mcp", "Try the built-in sample server: lockgate up"]

    "LG-C012" Configuration
    "unknown profile"
    "A profile is a named, dated set of permitted algorithms. The name is not one of the built-in profiles, and the crypto document, if there is one, defines none of that name."
    ["List them: lockgate crypto profiles"]

    "LG-C013" Configuration
    "crypto document cannot be taken up"
    "A crypto document holds profiles, sunsets and bans of your own. It counts only if one of the trusted keys signed these very bytes, if everything in it makes sense, and if its epoch is not lower than that of the last one that was in force, so that nobody can bring an older one back."
    ["Correct what the message names, raise its epoch, and sign it again: lockgate crypto sign FILE --key KEY",
     "A running node keeps the last good one."]

    "LG-C021" Configuration
    "attestation or registration cannot be used"
    "An [[attest]] or [[register]] of the configuration cannot be as it is written: a key that says nothing to its kind, one that is missing, a selector that no attestor can prove, or an id outside of this node's agents."
    ["The message names the setting, and the hint its form.", "See what is proven of a process: lockgate identity whoami"]

    "LG-C022" Configuration
    "scope that cannot be needed"
    "A [[scope]] says what of scopes (RFC 6749) the token of a caller must have, for servers, tools and methods. One that names no server, an unknown one, a pattern that fits nothing, or no scope, would need nothing of anybody."
    ["The message names the setting, and the hint its form."]

    "LG-C023" Configuration
    "subject that is nowhere"
    "An [[audit.subject]] says where calls name a person or whatever else records can be about: an argument, or the URIs of resources that begin alike. One without a kind, with both or neither, or of a server that does not exist would find nobody, and what cannot be found cannot be erased."
    ["The message names the setting, and the hint its form."]

    "LG-C024" Configuration
    "[detect] cannot be"
    "A rule of detection names no finding that exists, or a host that is none, or a server that is not there."
    ["See the place that the message names; the findings are explained: lockgate explain LG-D007"]

    "LG-C014" Configuration
    "exception that cannot be"
    "An exception holds one peer, one listener or one upstream to another profile for a while. It names exactly one of them, which must exist, and it has an end and a reason."
    ["Name one of peer, listener and upstream, and give until and reason."]

    "LG-C030" Configuration
    "description of an API cannot be used"
    "A REST API is served by its description: OpenAPI 3.0 or 3.1, or Swagger 2.0, in JSON or YAML, within limits on its size, depth and number of operations. What a $ref leads to must stand in the same document: none is opened or fetched."
    ["The causes name places in the document, as JSON pointers.", "Bundle a description of several files into one first."]

    "LG-C031" Configuration
    "no such operation, or none that is on"
    "Operations of a REST API are named by their tools. Reading ones are on unless others are named, all others are on only if each is named itself; a name that fits nothing is a mistake."
    ["See them all: lockgate deploy FILE --name NAME --base-url URL --dry-run"]

    "LG-S001" Configuration
    "state directory cannot be used"
    "Lockgate keeps its authority, audit log and store in one directory, and cannot create, read or write it."
    ["Choose another place: --state DIR or LOCKGATE_STATE=DIR.", "Check owner and free space: lockgate doctor"]

    "LG-S002" Configuration
    "state is readable by others"
    "A private key or token that other users can read is not private. Lockgate does not use it, and does not mend the permissions silently, because the secret may have leaked."
    ["If nobody else could have read it: chmod -R go= DIR.", "Otherwise move the directory away and start anew; every agent has to enrol again."]

    "LG-S003" Configuration
    "another node runs on this state directory"
    "Two nodes on one state directory would break the audit chain and the pins of tool definitions, so a node holds a lock as long as it lives."
    ["See the running node: lockgate status", "Give the second node its own state: --state DIR"]

    "LG-S004" Unreachable
    "no node runs on this state directory"
    "The verb asks a running node on this machine, and there is none on this state directory."
    ["Start one: lockgate up", "If it runs with another state directory, name it: --state DIR"]

    "LG-S005" Configuration
    "store cannot be opened"
    "The embedded store (store.redb) holds pins of tool definitions, invites and sessions. It is damaged, or not ours."
    ["Check the disk: lockgate doctor", "Last resort: move store.redb away. Pins are learned anew and open invites are void."]

    "LG-S006" Configuration
    "a secret cannot be sealed or opened"
    "The sealed store holds the credentials that this node presents to servers. A secret opens only with the key that it was sealed under and under its own name; without it, nothing is sent to its server."
    ["Seal it again: lockgate secret put NAME.",
     "Bring the key back to where `secrets.key` says, or to STATE/secrets/seal.key."]

    "LG-N001" Configuration
    "address cannot be listened on"
    "The address is in use by another process, needs rights that this process does not have, or is not of this machine."
    ["Find who has it: ss -ltnp 'sport = :PORT'", "Listen elsewhere: --listen 127.0.0.1:0 lets the system choose a port."]

    "LG-N002" Unreachable
    "gateway cannot be reached"
    "No connection to the gateway's address: nothing listens there, a firewall drops it, or the name does not resolve."
    ["Is it running? On its machine: lockgate status", "Check host and port of the URL."]

    "LG-N003" Unreachable
    "gateway does not answer in time"
    "The connection exists, but the handshake or the answer did not come within its deadline."
    ["Measure: lockgate ping URL", "Look at the gateway: lockgate status, lockgate audit tail"]

    "LG-N004" Unreachable
    "answer is not from a Lockgate gateway"
    "Something answered, but not in the way that a gateway answers: another service is on this port, or something in between changed the answer."
    ["Check host, port and path of the URL; the path is /servers/NAME/mcp, or /mcp for all servers."]

    "LG-N005" Unreachable
    "admin interface does not answer"
    "The node's own note (run/node.json) names an admin address, but nothing answers there: the node is just starting or stopping, or died without tidying up."
    ["Try again in a moment, then: lockgate doctor"]

    "LG-N020" Unreachable
    "description cannot be fetched"
    "The URL gave no description: it cannot be reached, answered with an error or a redirect, or means an address that is neither public nor named. Names are resolved once, and what was judged is what is connected to."
    ["Fetch it yourself, look at it, and name the file.", "If it is in a network of your own, name that: --network 10.0.0.0/8"]

    "LG-N006" Unreachable
    "TLS endpoint cannot be probed"
    "Nothing that speaks TLS answers at that address, or it stopped answering before enough was known."
    ["Check host and port: HOST:PORT of any TLS server.", "A server that limits connections from one address may refuse so many: try again later."]

    "LG-N400" Negative
    "admin request cannot be understood"
    "The admin interface does not understand the request: an unknown field, a value that cannot be, or a body that is not JSON."
    ["Compare the versions: lockgate --version, and the version that lockgate status shows."]

    "LG-N401" Negative
    "admin token missing or wrong"
    "The admin interface answers only who shows the token of this launch, which is in run/node.json of the state directory and changes with every start."
    ["Name the node's state directory: --state DIR", "A dashboard or script reads the token anew after each start."]

    "LG-N403" Negative
    "admin interface called from another site"
    "The Host or Origin header names another site, as it does when a web page makes a browser call the admin interface."
    ["Call it by its own address, as printed at the start, and not from a page of another origin."]

    "LG-N405" Negative
    "method means nothing there"
    "The path exists, but not with this HTTP method."
    ["The table in the documentation of lockgate-admin lists methods and paths."]

    "LG-N406" Negative
    "dashboard may not do this"
    "A session of the dashboard may look at everything. It decides about calls and definitions that wait only where the configuration says so, and does nothing else."
    ["Set write = true in [admin] of the configuration file; it is taken up by a reload.",
     "Use the command instead: the dashboard's copy button has it."]

    "LG-N429" Negative
    "too many look on"
    "The admin interface serves a bounded number of streams of events and of questions to the audit log at a time, and all of them are in use."
    ["Close a dashboard or a lockgate tap, then try again.", "Ask the log's files instead: lockgate audit query"]

    "LG-N413" Negative
    "admin request too large"
    "The request is larger than any that the admin interface takes."
    ["Send less."]

    "LG-N404" Unreachable
    "no such service"
    "A path below /.well-known/lockgate/ that this gateway does not know, probably because the other end has another version."
    ["Compare the versions: lockgate --version on both machines."]

    "LG-K001" Refused
    "the two ends share no permitted algorithm"
    "The handshake was refused: everything that one end offers is something that the other end's profile forbids. Nothing was sent in the clear, and nothing was downgraded."
    ["Compare both ends: lockgate crypto profiles",
     "A foreign client without a post-quantum key exchange is admitted only by a listener with profile pq-transition."]

    "LG-K002" Configuration
    "profile fails its self-test"
    "Each profile makes a handshake with itself, in memory, for every group and every kind of certificate that it permits, before it is used. One of these failed, so that the profile would promise what this build cannot do."
    ["Use another profile: lockgate crypto profiles", "Report it: the self-test never fails in a correct build."]

    "LG-K003" Refused
    "the change would cut peers off"
    "Some peers have links that the new profile does not permit, and by what they last offered they could not make another under it. Nothing was changed."
    ["See who and why: lockgate crypto plan PROFILE",
     "Spare them for a while: lockgate crypto apply PROFILE --peer ID --for 7d --reason TEXT",
     "Do it all the same: lockgate crypto apply PROFILE --cut-off"]

    "LG-K004" Negative
    "nothing to take back"
    "A rollback takes back the last change of a profile that was made while the node ran. There is none: nothing was applied yet, it has ended by itself, or the configuration overruled it. Bans are lifted, not rolled back."
    ["See what is in force: lockgate crypto show", "Lift a ban: lockgate crypto lift ALGORITHM"]

    "LG-K005" Refused
    "nothing would be left"
    "Without the algorithms that the ban, the date or the profile takes away, some listener, upstream or exception would have no group, signature or cipher left, and could make no link at all. Nothing was changed."
    ["Put a profile in force there that has something left: lockgate crypto apply PROFILE --listener NAME", "If only the mathematics of one half is broken, spare the hybrids: lockgate crypto ban ALGORITHM --keep-hybrids"]

    "LG-K006" Negative
    "no such ban"
    "Nothing is banned under this name, or the ban stands in the signed crypto document, which alone can lift it."
    ["See what is banned: lockgate crypto show", "A ban of the document ends with the next document."]

    "LG-K007" Configuration
    "profile in force is not known any more"
    "A profile was put in force while the node ran, and no profile of its name is known now, probably because the crypto document that defined it is gone. Nothing takes its place by itself."
    ["Bring the document back, and start again.", "Or name another profile for that place in the configuration, which ends the choice."]

    "LG-K008" Configuration
    "what is over cannot be replaced"
    "The last day of an algorithm or of an exception has passed, and what should hold from now on cannot be put in force. The node goes on with what it has, and is not ready until somebody decides."
    ["See why: the node's log.", "Put another profile in force: lockgate crypto apply PROFILE --listener NAME"]

    "LG-I001" Unreachable
    "gateway's certificate is not trusted"
    "The certificate that the gateway presents was not issued by the authority that this connector knows, is expired, or names another node. Either the address leads to somebody else, or the gateway started anew with another authority."
    ["Compare fingerprints: lockgate identity show on the gateway, and the one this connector pinned.",
     "If the gateway has a new authority, enrol again: lockgate identity invite there, lockgate connect --invite CODE here."]

    "LG-I002" Unreachable
    "authority is not the one that was invited to"
    "The invite names the fingerprint of the gateway's authority, and whoever answered showed another one. Nothing secret was sent."
    ["Ask for a new invite from the gateway's machine.", "Check that the address of the invite leads to the gateway and nothing in between ends TLS."]

    "LG-I003" Negative
    "invite cannot be used"
    "An invite works once and only within its lifetime. This one is not readable, already used, expired, or unknown to the gateway."
    ["Get a new one on the gateway's machine: lockgate identity invite --name NAME"]

    "LG-I004" Configuration
    "this connector is not enrolled"
    "The gateway is on another machine, or under another state directory, and this connector has no certificate for it."
    ["On the gateway's machine: lockgate identity invite --name NAME", "Here: lockgate connect --invite CODE URL"]

    "LG-I005" Configuration
    "certificate cannot be renewed"
    "The gateway refused to renew this connector's certificate, or the certificate ended before it was renewed."
    ["Enrol again: lockgate identity invite on the gateway's machine, lockgate connect --invite CODE here."]

    "LG-I006" Configuration
    "authority cannot be opened"
    "The local authority's keys or certificates are missing, damaged, or not readable."
    ["See what is wrong: lockgate doctor", "Restore DIR/authority from a backup. A new authority means that every agent has to enrol again."]

    "LG-I400" Negative
    "enrolment request cannot be read"
    "The gateway cannot read the request for a certificate, or the request does not prove possession of its key."
    ["Compare the versions: lockgate --version on both machines."]

    "LG-I401" Negative
    "renewal without a certificate"
    "Only a link that proves a valid certificate can renew it."
    ["Enrol again: lockgate identity invite on the gateway's machine, lockgate connect --invite CODE here."]

    "LG-I402" Refused
    "no certificate for a key of this algorithm"
    "Certificates are issued only for keys of algorithms that may be used on the link that asks, so that nobody gets one that no link would accept. The message names what the key is made of, and the hint what it can be."
    ["Update the connector: one of this version chooses by itself.", "See what is in force: lockgate crypto show --effective"]

    "LG-I403" Negative
    "notices need a certificate"
    "The stream of notices tells connectors of changes. It is for peers that proved who they are."
    ["Enrol: lockgate identity invite on the gateway's machine, lockgate connect --invite CODE here."]

    "LG-I409" Negative
    "a second stream of notices on one link"
    "One link carries one stream of notices. This one has one already."
    ["Close the first, or open the second on another link."]

    "LG-I410" Negative
    "agent is revoked"
    "The certificate is in order, and the agent that it names was revoked here, by its id or by a pattern that covers it: by a person, or by a policy that killed one of its calls. It gets no link, certificate or token."
    ["See by whom and why: lockgate identity list", "If it may come back: lockgate identity restore agent/NAME"]

    "LG-I411" Negative
    "key is revoked"
    "The key that the peer proved to hold was revoked here, whatever name its certificate gives it."
    ["Let the agent make a new key and enrol again: lockgate identity invite --name NAME", "If the key is not lost: lockgate identity restore key:FINGERPRINT"]

    "LG-I412" Negative
    "role is revoked"
    "The agent has a role, by its registration or by a role file, that was revoked here. All who have it are locked out."
    ["See which: lockgate identity list", "When it is over: lockgate identity restore role:NAME"]

    "LG-I413" Negative
    "token is revoked"
    "The token that the call was bound by was revoked here before its end."
    ["Get a new token.", "If it was a mistake: lockgate identity restore token:ID"]

    "LG-I414" Negative
    "certificate is revoked"
    "The certificate with this serial number was revoked here. The agent may have others that are not."
    ["Let the agent enrol again: lockgate identity invite --name NAME", "If it was a mistake: lockgate identity restore serial:HEX"]

    "LG-I415" Negative
    "too many revocations"
    "Revocations are held in memory and asked on each call, so their number is bounded. None was dropped to make room."
    ["Lift those that are not needed: lockgate identity list, lockgate identity restore TARGET", "Revoke a role or a pattern in place of many agents."]
    "LG-I501" Refused
    "evidence did not pass"
    "Somebody showed evidence of what it is, and one of the attestor's checks failed. The record names the check and what was found; the peer hears the name of the check only."
    ["Read the record: lockgate audit tail", "See what is proven of a process: lockgate identity whoami"]

    "LG-I502" Refused
    "nothing is registered for what was proven"
    "The evidence is good, but no [[register]] of the configuration has selectors that all hold for it. The record lists what was proven."
    ["See what is proven: lockgate identity whoami", "Add a [[register]] with some of these selectors."]

    "LG-I503" Refused
    "the identity is revoked"
    "The evidence is good and registered, but the agent was revoked. It gets no certificate and no token until somebody restores it."
    ["See since when and why: lockgate identity list", "Let it in again: lockgate identity restore AGENT"]

    "LG-I504" Configuration
    "no algorithm for the SVIDs that a registration asks for"
    "A [[register]] asks for X.509-SVIDs of a kind (stock, post_quantum or hybrid) of which the profiles in force permit no algorithm. Nothing of another kind is issued in its place."
    ["Give the [[register]] another svid.", "See what is in force: lockgate crypto show --effective"]

    "LG-I505" Unreachable
    "an attestor cannot work"
    "A file or socket cannot be used, or somebody whom the attestor has to ask, such as an API server or an issuer, does not answer."
    ["The message names what, and why not."]

    "LG-I506" Unreachable
    "too many at once"
    "More attestations are under way than there is room for."
    ["Try again in a moment."]

    "LG-P001" Configuration
    "policy is not Cedar"
    "A policy file breaks the syntax of Cedar at the place shown. A running node keeps its old policies."
    ["Check a file before it is used: lockgate policy check FILE", "See what is in force: lockgate policy show"]

    "LG-P002" Configuration
    "policy does not fit the schema"
    "A policy names an entity, action or attribute that does not exist, or compares things of different types. Cedar would skip such a policy, and a forbid that is skipped is a hole, so Lockgate refuses the file."
    ["The comment at the top of DIR/policy/local.cedar lists what can be named.", "Check again: lockgate policy check FILE"]

    "LG-P003" Configuration
    "policy can never apply"
    "The policy is well-formed, but no call can ever meet it: an action that does not go with the resource, or a condition that cannot be true."
    ["Use tools/call with Tool, resources/read with Resource, lists with Server, and make sure that the condition can be true."]

    "LG-P004" Configuration
    "policy id twice, or empty"
    "Two policies carry the same @id, or one has an empty one. Denials and records name policies by their id, so that each must mean one policy."
    ["Give each policy its own @id(\"…\"), or none."]

    "LG-P005" Configuration
    "policy text is deceptive"
    "The file holds characters that make it read otherwise than it means, such as controls that reverse the direction of text."
    ["Remove the character that the message names.", "Find out how it got there before you trust the file."]

    "LG-P006" Configuration
    "role file says what no rule can say"
    "A role file names a key, an operator, a tool's argument, a fact, a day or a time zone that does not exist, or contradicts itself. Nothing of the file is used; a running node keeps its old policies."
    ["Every key and operator is in docs/policy.md.", "Check a file before it is used: lockgate policy check FILE"]

    "LG-P007" Configuration
    "policy file is unfinished"
    "The last line of a role file is [end], and that of a Cedar file that begins with // begin is // end. A file that was cut off, by a full disk or an editor that is still writing, may lack a [[never]] rule or a condition and would then allow more than it should, so a file without its end is not used."
    ["Write [end], or // end in Cedar, as the last line of a finished file.", "Write a file beside and rename it over the old one, so that nobody reads half of it."]

    "LG-P008" Configuration
    "annotation of a policy cannot be read"
    "An annotation such as @on_violation or @rate is misspelt, has a value that means nothing, or stands where it has no effect. A consequence that is misspelt must not silently be a weaker one."
    ["Write what the message says.", "Check again: lockgate policy check FILE"]

    "LG-P009" Configuration
    "policy would not cover pinned tools"
    "A policy compares the action with tools/call by ==. Each tool has an action of its own within tools/call, so such a policy never applies, and a forbid that never applies is a hole."
    ["Write: action in Lockgate::Action::\"tools/call\"."]

    "LG-P010" Negative
    "call denied by policy"
    "Everything is denied that no policy permits. The JSON-RPC error names the policy that forbade the call, or says that none permits it."
    ["See the decision: lockgate audit tail", "See the rules: lockgate policy show. Edit DIR/policy/local.cedar; a running node takes it up by itself."]

    "LG-P011" Configuration
    "policy names what nobody has shown yet"
    "A warning: a policy names a tool whose definition has not been seen, a server or a group of servers that is not configured, or a role that no registration and no role file gives. What it says of the tool's arguments cannot be checked yet; while it is so, arguments of another type than expected deny."
    ["Mend the name, or list the tools of that server once."]

    "LG-P012" Negative
    "call killed by policy"
    "A policy with @on_violation(\"kill\") ended the call. Its link was cut after the answer, and its agent and key are revoked until a person restores them. There is one such alert for each agent that is cut off, however many of its calls were."
    ["See the call and the policy: lockgate audit tail", "If the agent may come back: lockgate identity restore agent/NAME"]

    "LG-P013" Negative
    "no call waits under this id"
    "The call was approved and made since, it waited for too long, or the id is mistyped."
    ["List what waits: lockgate approvals list"]

    "LG-P014" Negative
    "call was decided already"
    "A call is approved or rejected once. An approval that was not used ends by itself; after a rejection has ended, the agent may ask anew."
    ["See who decided: lockgate approvals list"]

    "LG-P015" Configuration
    "Cedar file would not be missed if it were cut off"
    "A warning: a Cedar file that was cut off between two policies is a valid file, and may lack a forbid. One whose first line is // begin is not used without its last line, // end: a file that is cut off keeps its beginning."
    ["Make // begin the first line of the file, and // end the last."]

    "LG-P016" Configuration
    "prohibitions are gone"
    "A warning: the policies that were taken up lack prohibitions that were in force before. A role file that is removed or emptied takes its never rules along. If that was meant, nothing is wrong; the status shows it until the prohibitions are back or the node starts anew."
    ["See which: lockgate status, or the record of the reload: lockgate audit tail", "If it was not meant, put the file back; a running node takes it up by itself."]

    "LG-P020" Usage
    "call that is asked about is none"
    "A question about policy describes a call that cannot be made: an agent's id that is none, a time without a zone, arguments that are no JSON object."
    ["The hint says what to write.", "Examples: lockgate policy explain --help"]

    "LG-P021" Configuration
    "cases cannot be read"
    "A file of cases for policy test breaks the syntax of TOML, has a key that cases do not have, or a case does not say who calls what and what to expect."
    ["See a whole case: lockgate policy test --help"]

    "LG-P022" Usage
    "invariant is none"
    "What is to be proved is none of the short forms, no single Cedar permit, or names things that the schema does not have. A misspelt invariant would be proved of anything, so it is refused."
    ["See the forms: lockgate policy prove --help"]

    "LG-P023" Unreachable
    "no solver is installed"
    "Proofs over all calls need the SMT solver cvc5, which is a program of its own. Nothing else needs it, and without it nothing is claimed to be proved."
    ["On Debian: apt install cvc5", "Name one that is elsewhere: CVC5=/path/to/cvc5 lockgate policy prove …"]

    "LG-P024" Unreachable
    "solver failed"
    "The solver was started and broke off. It runs with a limit of 2 GiB and of 20 seconds for each question."
    ["Try again, or with a newer cvc5: CVC5=/path/to/cvc5", "Ask about less at a time, such as one role or one server."]

    "LG-P025" Configuration
    "tool definitions cannot be read"
    "A file named with --tools is not a saved result of tools/list."
    ["Save one as it comes, {\"tools\": [{\"name\": …, \"inputSchema\": …}]}, and name its server: --tools crm=FILE"]

    "LG-P026" Configuration
    "suggestion cannot be written"
    "policy suggest never overwrites a file: what is there may be a role file that somebody reviewed."
    ["Name an empty folder: lockgate policy suggest --out proposed/"]

    "LG-F001" Negative
    "fact: nothing is known"
    "A policy needs a fact, and there is none: the provider has no record for the key, nothing was pushed, or the call does not name what the fact is about. A permit that needs it cannot match."
    ["Ask the provider yourself: lockgate facts get NAME --key VALUE", "See what was asked for last: lockgate facts list"]

    "LG-F002" Negative
    "fact: too old, or of the future"
    "What the provider says is older than the fact's max_age, or its time is ahead of this node's clock by more than five seconds. The age counts from as_of in the document where there is one, else from the question, or from when the file was written."
    ["See its age: lockgate facts get NAME --key VALUE", "Mend what keeps the provider's data new, or the clocks; or raise max_age."]

    "LG-F003" Negative
    "fact: the answer is none"
    "The provider answered, but not with what the configuration promises to policy: no JSON, a name twice, too large, a field missing or of another type, or a record about something else."
    ["See what is wrong: lockgate facts get NAME --key VALUE", "Correct the provider, or fields in the [[fact]]."]

    "LG-F004" Negative
    "fact: the provider does not answer"
    "The provider did not answer within the fact's deadline, cannot be reached, or refuses. After three failures in a row it is left alone for a while, so that calls do not wait for it."
    ["Is it running? lockgate facts get NAME --key VALUE waits longer than a call does.", "Raise deadline if the provider is slow but well."]

    "LG-F005" Negative
    "fact: statement that is not signed"
    "What was pushed is no statement signed by the key that the fact names as its signer, or its algorithm must not be used any more."
    ["Push with that key: lockgate facts push NAME FILE --key KEY", "Compare the .pub file in the [[fact]] with the key."]

    "LG-F006" Negative
    "fact: statement that says nothing new"
    "The statement is signed, but cannot be used: a later one was taken already, it is too old or too early, or its record does not fit the fact."
    ["Issue a new one: lockgate facts push signs with the time of now.", "Check the clocks of both machines."]

    "LG-F007" Negative
    "no such fact"
    "No fact of this name is configured, or it does not come in this way: it has another provider, or has a key where none was named."
    ["List them: lockgate facts list"]

    "LG-A001" Negative
    "audit chain is broken"
    "Each record holds the hash of the one before it. From the place shown on, the log is not what was written: a record was changed, removed or inserted."
    ["Keep the file as evidence, and compare it with your backup.", "Records before the place shown are intact."]

    "LG-A002" Configuration
    "audit log cannot be written"
    "No call passes that cannot be recorded, so a node without a writable log does not start, and a running node refuses calls until it can write again."
    ["Free space on the disk, or check owner and mode of DIR/audit."]

    "LG-A003" Configuration
    "key of the audit log cannot be used"
    "Every checkpoint of the log is signed, so a node without its key does not start. The keys lie in DIR/authority/log, readable by their owner alone; their public halves are what `lockgate audit key` prints."
    ["Put the key back from your backup.", "Or have a new one signed for by the old one: lockgate audit key --rotate"]

    "LG-A004" Negative
    "audit proof does not hold"
    "A proof shows that a record is in a log whose checkpoint a trusted key signed. This one does not: the record, the path or the checkpoint was changed, or another key signed it."
    ["Get the key from the log's owner by a way that you trust: lockgate audit key", "Have the proof made again: lockgate audit prove SEQ"]

    "LG-A005" Configuration
    "keys of subjects cannot be used"
    "Values in records are committed to, and content is encrypted, under keys of those whom the records are about. They lie in DIR/subjects, sealed under a master key that is replaced whenever keys are destroyed: a file of before does not open any more. A node without them would record what nobody could erase or read, so it does not start."
    ["Put DIR/subjects and the key of the sealed store back as they belong together.", "Or move DIR/subjects away: what is encrypted in the log is lost then, and new keys are made."]

    "LG-A006" Negative
    "another history of an audit log was seen"
    "A witness or a peer holds a signed checkpoint that is not the beginning of the log as it is now: the log was put back to an older state, or its key signed two histories. Calls go on; what is recorded since is one history of two."
    ["See who saw what: lockgate audit witness, lockgate audit query --finding LG-A006", "Compare the log with its copies: lockgate audit verify DIR --seen CHECKPOINT", "If a backup was restored: begin a new log (move the folder away), and keep the old one as evidence."]

    "LG-A007" Negative
    "a hold keeps it"
    "What is held may neither be erased nor expire, whoever asks: a hold stands for a duty to preserve evidence. That it was tried is recorded."
    ["See who holds it and why: lockgate audit hold list", "When the duty has ended, lift the hold: lockgate audit hold lift ID --reason TEXT"]

    "LG-A008" Usage
    "nothing of this name among subjects and holds"
    "Subjects are written as a kind and an id, like patient:4711, or as the SPIFFE id of an agent; holds by the id that they were given. Grounds and reasons are texts of 1 to 512 bytes."
    ["Write the subject as [[audit.subject]] names its kind.", "List holds: lockgate audit hold list"]

    "LG-A020" Usage
    "not a period"
    "A report is about whole days in UTC: a year, a quarter, a month, a day, or the days from one to another."
    ["Write it like 2026-Q4, 2026-11, 2026 or 2026-11-01..2026-11-30."]

    "LG-A021" Configuration
    "report cannot be written"
    "The folder for the report cannot be made or written, or holds a report already. A report that was handed out must not change unnoticed, so that nothing is written over without --force."
    ["Name another folder: --out DIR.", "Write over what is there: --force."]

    "LG-A022" Negative
    "log changed while it was read"
    "The log is read twice, to count and to copy the records that are cited. A record was not the same the second time: a file of the log was taken away or changed meanwhile. Nothing was written."
    ["Make the report again, from a copy of the log if it is being moved: --from DIR.", "If it happens again, check the log: lockgate audit verify"]

    "LG-M001" Negative
    "message is not MCP"
    "A message breaks JSON-RPC 2.0 or MCP: not UTF-8, too large or too deep, a batch, or a member given twice or in another letter case. It is refused instead of repaired, because two readers may repair it in two ways."
    ["The JSON-RPC error says which rule. Correct the client or server that sent it."]

    "LG-M002" Negative
    "tunnel was lost during a call"
    "The connection to the gateway ended before the answer came. Lockgate never repeats a call by itself, because the first one may have had its effect."
    ["Repeat the call if it is safe to repeat.", "Look at the gateway: lockgate ping URL"]

    "LG-M003" Negative
    "session has ended"
    "The server or the gateway no longer knows the MCP session, and a new one could not be opened in its place."
    ["Let the client connect again.", "Look at the gateway: lockgate ping URL"]

    "LG-X001" Bug
    "a mistake in Lockgate"
    "Something happened that should be impossible."
    ["Please report it, with the message, the version (lockgate --version) and what you did."]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_well_formed() {
        for (n, entry) in all().iter().enumerate() {
            let (letter, digits) = entry.code["LG-".len()..].split_at(1);
            assert!(letter.chars().all(|c| "UCSNKIPDFGAMX".contains(c)), "{}", entry.code);
            assert!(digits.len() == 3 && digits.chars().all(|c| c.is_ascii_digit()), "{}", entry.code);
            assert!(all()[n + 1..].iter().all(|other| other.code != entry.code), "{} twice", entry.code);
            assert!(entry.meaning.ends_with('.') && !entry.title.ends_with('.'), "{}", entry.code);
        }
    }
}
