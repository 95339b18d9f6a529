# Sourced by scripts that need Python's clients: keeps them in ~/.cache/daybook/venv.
# shellcheck shell=bash
venv="$HOME/.cache/daybook/venv"

venv_with() { # module, package
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  "$venv/bin/python" -c "import $1" 2>/dev/null || "$venv/bin/pip" install --quiet "$2"
}
