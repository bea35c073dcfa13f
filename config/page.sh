#!/usr/bin/env bash
# Prints the manual page of a kind of configuration file: its commented sample, word by word.
#
# Usage: config/page.sh NAME WHAT PLACE FILE...
set -euo pipefail
name=${1:?usage: config/page.sh NAME WHAT PLACE FILE...} what=$2 place=$3
shift 3

# A sample as it is, safe as the text of a page.
literal() {
    sed -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/'/\\\\(aq/g" -e 's/^\./\\\&./' "$1"
}

cat <<PAGE
.TH ${name^^} 5 "" "" Mooring
.SH NAME
${name//-/\\-} \\- ${what//-/\\-}
.SH FILES
.I ${place//-/\\-}
.SH DESCRIPTION
A TOML file that
.BR mooringd (8)
reads.
.B mooringd \\-\\-check\\-config
says what is wrong with the files that are there, and
.B systemctl reload mooringd
takes a change up; for who runs it in their own session,
.B systemctl \\-\\-user reload mooringd
does.
What follows is the commented sample that is installed with the documentation.
PAGE
for sample; do
    printf '.SS %s\n.nf\n' "$(basename "$sample" | sed 's/-/\\-/g')"
    literal "$sample"
    printf '.fi\n'
done
cat <<'PAGE'
.SH SEE ALSO
.BR mooringd (8),
.BR mooringctl (1)
PAGE
