//! What detection and discovery find.

use super::Entry;
use crate::exit::Exit;

pub(super) const ENTRIES: &[Entry] = entries! {
    "LG-D001" Negative
    "invisible characters"
    "A tool definition or a result holds characters that people do not see and models read: control characters, zero-width characters, tags. They can carry instructions past a reviewer, so that the tool is hidden or the result withheld."
    ["Read the evidence: lockgate threats list, lockgate audit tail", "Ask whoever runs the server. A text that is meant to be harmless can be written without them."]

    "LG-D002" Negative
    "tool definition changed"
    "The definition of a tool is not the one that was first seen. An honest update looks like this, and so does a server that waits until it is trusted. The tool is hidden and refused until a person approves the change."
    ["Compare old and new: lockgate threats list", "If the change is right: lockgate threats approve ID"]

    "LG-D003" Negative
    "nothing waits under this id"
    "There is no change waiting for approval with this id: it was approved already, the server went back to the old definition, or the id is mistyped."
    ["List what waits: lockgate threats list"]

    "LG-D004" Negative
    "definition names a tool of another server"
    "The definition of a tool speaks of a tool that another server has. Honest definitions hardly do; published attacks do, to steer a model that has both: 'before you use send_email, …'. Where the words of its own server do not explain the name, the tool is hidden and refused until a person approves it."
    ["Read what it says: lockgate threats list", "If both belong together: lockgate threats approve ID, or a [[detect.rule]] for this server."]

    "LG-D005" Negative
    "tool name that looks like another"
    "The name of a tool is drawn like that of a pinned one and spelt otherwise (letters of other scripts, 1 for l), and it is held; or a new tool has the very name of one that is in use at another server, which is told only."
    ["See which one it imitates: lockgate threats list", "If both are right: lockgate threats approve ID"]

    "LG-D006" Negative
    "server is reached elsewhere than before"
    "The configuration reaches a server at another address, or by another command, than when its tools were trusted. Whoever answers there now inherits that trust."
    ["If the server was really moved, there is nothing to do, or lockgate threats approve ID where a rule holds it.", "If nobody here changed it, see who wrote the configuration."]

    "LG-D007" Negative
    "URL outside of the hosts of its tool"
    "A call, or an answer, names a URL with a host outside of those that [[detect.hosts]] names for the tool. A model that was talked into sending data somewhere does this."
    ["See the call: lockgate approvals", "If the host is right, add it to allow in the [[detect.hosts]] of the server."]

    "LG-D008" Negative
    "credential of the sealed store leaves"
    "The arguments of a call, or what a server answered, hold a credential that this node injects into requests (as it is, in base64, hexadecimal or percent-encoded). No agent is ever shown one: it has leaked, or its server hands it out."
    ["Replace the credential: lockgate secret put NAME", "See who sent it, or which server answered with it: lockgate audit tail"]

    "LG-D009" Negative
    "headers that say something else than the body"
    "The headers of a request contradict its body, so that whoever reads only one of the two is deceived; or the definition of a tool claims headers in a way that the protocol forbids."
    ["A client that does this by mistake is broken: update it.", "See what differed: lockgate audit tail"]

    "LG-D010" Negative
    "peer came back with weaker cryptography"
    "A peer is held to the level that it showed before, in key exchange and in authentication, for as long as crypto.continuity_s says. It came back below that, although what it used before is still permitted. An older version looks like this, and so does somebody in between who takes the better half away."
    ["See what it offered: lockgate crypto show", "If the peer was really changed: crypto.continuity = \"flag\" lets it in, and it is held to the new level when the old one has run out."]

    "LG-D011" Negative
    "handshake failed with post-quantum key exchange and was tried again without"
    "From one address came a handshake that offered post-quantum groups and failed, and soon after it one that did not offer them. Some middleboxes drop large first messages, and clients fall back; an attacker who wants the weaker handshake drops them, too."
    ["Probe the way in between: lockgate crypto probe HOST:PORT from the peer's side.", "A listener that requires post-quantum groups refuses the second try: see lockgate crypto show."]

    "LG-D012" Negative
    "peer had to send its first message twice"
    "The peer's first key share was refused although the node accepted the same kind from it before, which costs a round trip. Nothing on this side explains it."
    ["If the peer was updated, it chooses another group first now, and this is harmless."]

    "LG-D013" Negative
    "handshake far slower than usual for this peer"
    "One handshake took several times what this peer usually needs, while those of others took what they always do. It can be load at the peer, and it can be somebody in between who works on the handshake."
    ["Compare: lockgate audit tail, lockgate status"]

    "LG-D014" Negative
    "peer offers less than before"
    "The algorithms that a peer offers became fewer. An older version or another build looks like this, and so does somebody in between who removes what is strong."
    ["See what it offered before and now: the record of the finding, lockgate audit tail", "Ask whoever runs the peer what changed."]

    "LG-G001" Negative
    "a shadow server"
    "An MCP server runs, and no client and no gateway has it in its configuration: nobody decided that it should be there, and no policy sees its calls."
    ["Find out who started it: `lockgate discover` names the process or address.", "If it belongs here, put it behind the gateway: lockgate adopt, or a [[server]] in the configuration.", "Else stop it."]

    "LG-G002" Negative
    "a way past the gateway"
    "A server is behind the gateway, and some client reaches it directly, too: those calls are neither decided on nor recorded."
    ["Let that client go through Lockgate: lockgate adopt CLIENT"]

    "LG-G003" Negative
    "a package without a version"
    "A command fetches and runs a package at whatever version is newest at that moment. Whoever can publish it can run code here."
    ["Name an exact version: npx -y pkg@1.2.3, uvx pkg==1.2.3, image@sha256:…"]

    "LG-G004" Negative
    "a version that can be moved"
    "A package is named by a range or an image by a tag. Its owner can put something else behind that name."
    ["Name an exact version, or the digest of the image."]

    "LG-G005" Negative
    "HTTP without TLS"
    "Calls and results cross the network readable and changeable."
    ["Put the server behind a gateway on its own machine, and reach it through a tunnel."]

    "LG-G006" Negative
    "a server that asks nobody who they are"
    "It answered a stranger. Whoever can reach it can call its tools."
    ["Require tokens (RFC 9728), or let only the gateway reach it."]

    "LG-G007" Negative
    "classical key exchange"
    "The link is not protected against a quantum adversary: what is recorded today can be read later."
    ["Enable a hybrid group at the server: lockgate crypto probe HOST:PORT says what it has.", "Or put a gateway in front of it."]

    "LG-G008" Negative
    "secrets in a configuration"
    "A client's configuration holds secrets in plain text. Backups, synchronised folders and every program of this user can read them."
    ["Let Lockgate hold them sealed: lockgate adopt CLIENT", "Or refer to a variable or a key chain, if the client can."]

    "LG-G009" Negative
    "one secret in several places"
    "The same secret is used more than once. If one place leaks it, all of them have to be changed."
    ["Give each server a credential of its own."]

    "LG-G010" Negative
    "a configuration with secrets that others can read"
    "The permissions of the file let other users of this machine read the secrets in it."
    ["Take the permission away: chmod go= FILE", "Replace the secrets: they may have been read."]

    "LG-G011" Negative
    "a configuration that others can write"
    "Whoever can write the file chooses which commands run as its owner."
    ["Take the permission away: chmod go-w FILE", "Look at what stands in it."]

    "LG-G012" Negative
    "a configuration that was not read whole"
    "The file is damaged, too large, or may not be read. What it configures is not on the map."
    ["The finding says why, with the line.", "Mend the file."]

    "LG-G013" Negative
    "a server that listens on all addresses"
    "It can be reached from every network that this machine is in."
    ["Have it listen at 127.0.0.1, and let others come through the gateway."]

    "LG-G014" Negative
    "destructive tools for everybody"
    "A server that asks nobody who they are offers tools that, by its own word, destroy."
    ["Put it behind a gateway, with a role that permits what is needed."]

    "LG-G020" Configuration
    "a client's configuration cannot be changed"
    "The file of a client cannot be read or written, or is written in a way that cannot be changed in place. It stays as it is."
    ["End the client, and try again.", "Check the permissions of the file and of its folder.", "Put the server behind the gateway by hand: the help of lockgate connect shows the entry."]

    "LG-G022" Unreachable
    "this machine's gateway did not start"
    "A connector tried to start the gateway with the servers that were adopted, and it did not come up."
    ["Look into run/gateway.log of the state directory.", "Start it yourself and see: lockgate gateway --config STATE/gateway.toml"]
};
