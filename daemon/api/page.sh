#!/usr/bin/env bash
# Prints the manual page of the bus: the introspection files, and the words that the Rust sources
# beside them have for dictionaries and errors.
#
# Usage: daemon/api/page.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# What all three sources need.
common='
function plain(text) {
    gsub(/\[`?|`?\]/, "", text)
    gsub(/`/, "", text)
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    sub(/^[.\047]/, "\\\\\\&&", text)
    return text
}
function bold(text) { return "\\fB" plain(text) "\\fP" }
'

# The interfaces: a comment, then what it is about.
interfaces() {
    awk "$common"'
    function attribute(name,   part) {
        if (!match($0, name "=\"[^\"]*\"")) return ""
        part = substr($0, RSTART, RLENGTH)
        gsub(/^[^"]*"|"$/, "", part)
        return part
    }
    function entry(line) { print ".TP\n" line; print (said == "" ? "" : plain(said)); said = "" }
    function finish() {
        entry(bold(name) "(" into ")" (out == "" ? "" : " \\(-> " out))
        name = ""
    }
    /<!DOCTYPE|^ "http/ { next }
    /<!--/ { said = ""; talking = 1 }
    talking {
        line = $0
        gsub(/^[ \t]*(<!--)?[ \t]*|[ \t]*-->.*$/, "", line)
        said = said (said == "" ? "" : " ") line
        if (/-->/) talking = 0
        next
    }
    /<interface / { print ".SS " plain(attribute("name")); if (about != "") print plain(about) }
    /<node>/ { about = said; said = "" }
    /<(method|signal) / { name = attribute("name"); into = out = ""; kind = /<signal / ? "signal" : "" }
    /<arg / {
        part = attribute("type")
        if (attribute("name") != "") part = "\\fI" plain(attribute("name")) "\\fP " part
        if (attribute("direction") == "out") out = out (out == "" ? "" : ", ") part
        else into = into (into == "" ? "" : ", ") part
    }
    /<(method|signal) .*\/>/ || /<\/(method|signal)>/ {
        if (kind != "") said = "Signal. " said
        finish()
    }
    /<property / { entry(bold(attribute("name")) " " attribute("type") " (property)") }
    ' "$@"
}

# The dictionaries: what is said of a type, and of each of its keys.
dictionaries() {
    awk "$common"'
    function signature(type) {
        sub(/^Option</, "", type) && sub(/>$/, "", type)
        if (type ~ /^(Owned)?Fd$|^OwnedFd$/) return "h"
        if (type == "Vec<u8>") return "ay"
        if (type == "Vec<Vec<u8>>") return "aay"
        if (type == "Vec<String>") return "as"
        if (type == "String") return "s"
        if (type == "bool") return "b"
        if (type == "u64") return "t"
        if (type == "u32") return "u"
        if (type ~ /^Vec</) { gsub(/^Vec<|>$/, "", type); return "list of " type }
        return type
    }
    /^ *\/\/\/ ?/ {
        line = $0
        sub(/^ *\/\/\/ ?/, "", line)
        said = said (said == "" ? "" : " ") line
        next
    }
    /^pub struct / {
        name = $3
        sub(/[({;].*/, "", name)
        print ".SS " plain(name)
        print plain(said)
        said = ""
        inside = 1
        next
    }
    inside && /^    pub [a-z_]+:/ {
        key = $2
        sub(/:$/, "", key)
        gsub(/_/, "-", key)
        type = $0
        sub(/^[^:]*: /, "", type)
        sub(/,$/, "", type)
        print ".TP\n" bold(key) " " plain(signature(type))
        print plain(said)
        said = ""
        next
    }
    /^}/ { inside = 0 }
    /^ *#\[/ { next }
    { said = "" }
    ' "$@"
}

errors() {
    awk "$common"'
    /^pub enum Error/ { inside = 1; said = ""; next }
    !inside { next }
    /^}/ { exit }
    /^ *\/\/\/ ?/ { line = $0; sub(/^ *\/\/\/ ?/, "", line); said = said (said == "" ? "" : " ") line; next }
    /^    [A-Z][A-Za-z]*\(String\)/ {
        name = $1
        sub(/\(.*/, "", name)
        print ".TP\n" bold("org.mooring1.Error." name)
        print plain(said)
    }
    { said = "" }
    ' "$1"
}

cat <<'PAGE'
.TH ORG.MOORING1 5 "" "" Mooring
.SH NAME
org.mooring1 \- the D\-Bus interface of Mooring
.SH DESCRIPTION
.BR mooringd (8)
owns the name
.B org.mooring1
on the session bus, or on the system bus when it serves all people of a device.
.B /org/mooring1
carries
.B org.freedesktop.DBus.ObjectManager
and the manager; accounts and jobs come and go below it.
.PP
Paths of files are byte arrays without a trailing NUL: a Linux file name is bytes.
Times are seconds since the Unix epoch, sizes are bytes.
Secrets enter and leave as file descriptors, never as strings: the read end of a pipe or a sealed
memfd, 4\ KiB at most, within 5\ seconds.
Dictionaries may grow keys, and a key without a value may be missing: whoever reads them passes over
what they do not know.
Where a call says what becomes of files, an option that does not exist is an error.
.PP
A call may ask the person at the terminal or the desktop first (polkit): it needs the flag
.B ALLOW_INTERACTIVE_AUTHORIZATION
for that, and a patient time limit.
What takes long is a job: the call answers its object, whose
.B Finished
signal and
.B Outcome
property tell the same.
The XML of the interfaces lies in
.IR /usr/share/dbus\-1/interfaces .
.SH INTERFACES
PAGE
for interface in Manager Account Account.Files Account.Devices Job; do
    interfaces "$here/introspection/org.mooring1.$interface.xml"
done
echo '.SH DICTIONARIES'
echo 'Their names are those of the Rust types of the crate mooring\-api; on the bus they have none.'
dictionaries "$here/src/types.rs"
echo '.SH ERRORS'
echo 'Each comes with a sentence for a person: what happened, where, and what to do.'
errors "$here/src/error.rs"
cat <<'PAGE'
.SH EXAMPLES
What an app does that saves before a sign\-out:
.I /usr/share/doc/mooring/examples/save\-before\-sign\-out.py
.SH SEE ALSO
.BR mooringd (8),
.BR mooringctl (1),
.BR busctl (1)
PAGE
