#!/usr/bin/env bash
# Installs what the targets need beyond Python 3.11 and Node 20, on Debian as root; elsewhere says what is missing.
#   install_system_packages.sh TOOL...       where TOOL is one of the names below
set -euo pipefail

declare -A command_of=([compiler]=g++ [chromium]=chromium [ripgrep]=rg [neovim]=nvim [emacs]=emacs
                     [pngquant]=pngquant)
declare -A packages_of=([compiler]='g++ make' [chromium]=chromium [ripgrep]=ripgrep [neovim]=neovim
                        [emacs]='emacs-nox elpa-eglot' [pngquant]=pngquant)

missing_tools=() packages=()
for tool in "$@"; do
  if ! command -v "${command_of[$tool]}" >/dev/null; then
    missing_tools+=("$tool")
    read -ra wanted <<<"${packages_of[$tool]}"
    packages+=("${wanted[@]}")
  fi
done
# Emacs 28 has no eglot of its own.
if [[ " $* " == *' emacs '* && " ${packages[*]} " != *' elpa-eglot '* ]] &&
  ! emacs --batch --eval '(progn (package-initialize) (require (quote eglot)))' 2>/dev/null; then
  missing_tools+=(eglot)
  packages+=(elpa-eglot)
fi
[[ ${#packages[@]} -gt 0 ]] || exit 0

if ! command -v apt-get >/dev/null; then
  echo "Missing: ${missing_tools[*]}. Install them with your system's package manager, then run make again." >&2
  exit 1
fi
if [[ $(id -u) -ne 0 ]]; then
  echo "Missing: ${missing_tools[*]}. Run: sudo apt-get install ${packages[*]}" >&2
  exit 1
fi
echo "Installing with apt-get: ${packages[*]}"
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
