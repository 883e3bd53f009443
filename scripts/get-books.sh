#!/usr/bin/env bash
# Makes a corpus of public domain books in data/books (or the folder given) from four Debian packages. Needs no root:
# packages are downloaded and unpacked in a temporary folder, not installed. Quick when the books are there.
#   scripts/get-books.sh [folder]
#   scripts/get-books.sh --kinds [folder]   texts of other kinds and languages in data/kinds, one file each: sayings in English, German
#     and Russian (fortunes), a Spanish Bible, Python (this machine's standard library), licences (this machine's). A kind whose package
#     cannot be had is named, also in SOURCES.md, and left out; delete SOURCES.md to try it again.
# MNEME_BOOKS_DEBS=folder: take the .deb files from there instead of downloading them (machines without a network).
set -euo pipefail
say() { printf 'get-books: %s\n' "$*" >&2; }
what=books
[ "${1:-}" != --kinds ] || { what=kinds; shift; }
case ${1:-} in
  -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
  -*) say "unknown option $1; usage: $0 [--kinds] [folder]"; exit 2 ;;
esac
if [ $what = kinds ]; then packages=(fortunes fortunes-min fortunes-de fortunes-ru sword-text-sparv) size=5
else packages=(r-cran-janeaustenr sword-text-kjv sword-text-web sword-comm-tdavid) size=14; fi

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$(dirname "$here")/data/$what}; folder=${folder%/}
command -v python3 >/dev/null || { say "needs python3; install it (apt-get install python3)"; exit 1; }
if python3 "$here/books.py" check $what "$folder"; then say "$folder is complete (see SOURCES.md there)"; exit 0; fi
command -v dpkg-deb >/dev/null ||
  { say "needs dpkg-deb; this works on Debian and its relatives. Any text files by path do as well"; exit 1; }
# Made beside its place and moved there when it is whole: whoever finds the folder finds all texts.
making=$folder.making
mkdir -p "$(dirname "$folder")" && rm -rf "$making" && mkdir "$making" && { [ ! -e "$folder" ] || [ -w "$folder" ]; } ||
  { say "cannot write to $folder; give another folder: $0 FOLDER"; exit 1; }

work=$(mktemp -d); trap 'rm -rf "$work" "$making"' EXIT
mkdir "$work/debs" "$work/unpacked"
download() {
  local package names=("${packages[@]}")
  if [ $what = kinds ]; then  # what the lists do not have is left out; nothing at all is an error
    names=()
    for package in "${packages[@]}"; do ! apt-cache show "$package" >/dev/null 2>&1 || names+=("$package"); done
    [ ${#names[@]} -gt 0 ] || return 1
  fi
  (cd "$work/debs" && apt-get -o APT::Sandbox::User=root download "${names[@]}") >"$work/log" 2>&1
}
if [ -n "${MNEME_BOOKS_DEBS:-}" ]; then
  cp "$MNEME_BOOKS_DEBS"/*.deb "$work/debs/" || { say "no .deb files in MNEME_BOOKS_DEBS=$MNEME_BOOKS_DEBS"; exit 1; }
else
  command -v apt-get >/dev/null ||
    { say "needs apt-get, or the packages ${packages[*]} in a folder named by MNEME_BOOKS_DEBS"; exit 1; }
  say "downloading ${packages[*]} ($size MB)"
  if ! download; then
    if ! apt-cache show "${packages[@]}" >/dev/null 2>&1; then
      if [ "$(id -u)" = 0 ]; then
        say "package lists are missing or old: apt-get update"
        apt-get update >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; say "apt-get update failed"; exit 1; }
      else
        say "the package lists do not have ${packages[*]}; run: sudo apt-get update, then this script again"; exit 1
      fi
    fi
    download || { tail -n 5 "$work/log" >&2; say "download failed; the last lines of apt-get are above"; exit 1; }
  fi
fi

versions=()
for package in "${packages[@]}"; do
  deb=$(find "$work/debs" -name "${package}_*.deb" | head -n 1)
  if [ -z "$deb" ]; then
    say "no file ${package}_*.deb in ${MNEME_BOOKS_DEBS:-the download}"
    [ $what = kinds ] || exit 1
    continue
  fi
  dpkg-deb -x "$deb" "$work/unpacked/$([ $what = books ] || echo "$package")"
  versions+=("$package=$(dpkg-deb -f "$deb" Version)")
done
python3 "$here/books.py" $what "$work/unpacked" "$making" "${versions[@]}" >&2
if [ -d "$folder" ]; then  # with what else is in it; SOURCES.md, which says that all are there, last
  mv "$making/SOURCES.md" "$work/"
  cp -r "$making/." "$folder/"
  cp "$work/SOURCES.md" "$folder/"
else
  mv "$making" "$folder"
fi
say "$folder is ready"
