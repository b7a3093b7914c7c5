#!/bin/sh
# Installs what `cargo build` made, as `cargo cinstall` would: stage.sh BUILT PREFIX, with BUILT such as target/release.
set -eu
built=$1 prefix=$2
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)
soname=libgpve.so.${version%.*}
install -d "$prefix/lib/pkgconfig" "$prefix/include"
install -m 755 "$built/libgpve.so" "$prefix/lib/libgpve.so.$version"
ln -sf "libgpve.so.$version" "$prefix/lib/$soname"
ln -sf "libgpve.so.$version" "$prefix/lib/libgpve.so"
install -m 644 "$built/libgpve.a" "$prefix/lib/libgpve.a"
install -m 644 "$here/include/gpve.h" "$prefix/include/gpve.h"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$here/gpve.pc.in" >"$prefix/lib/pkgconfig/gpve.pc"
