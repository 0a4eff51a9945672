# shellcheck shell=bash
# Sourced by the scripts beside it: where the checkout and its built programs are.

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$checkout/target}
[[ $target == /* ]] || target=$checkout/$target
if [[ $target == *[[:space:]]* && -z ${CARGO_TARGET_DIR:-} ]]; then
  # The configure script of Kafka's C client fails below a path with a space, so such a checkout is built elsewhere.
  target=${XDG_CACHE_HOME:-$HOME/.cache}/payments-platform/$(printf '%s' "$checkout" | cksum | cut -d ' ' -f 1)
  export CARGO_TARGET_DIR=$target
fi

launcher() { # launcher PROFILE: the program, if it is built
  printf '%s/%s/local' "$target" "${1:-debug}"
}

# Becomes the launcher with these arguments. What was never built never ran.
run_launcher() {
  local profile program
  for profile in debug release; do
    program=$(launcher "$profile")
    [[ -x $program ]] && exec "$program" "$@"
  done
  printf 'Nothing was built in %s, so nothing runs: start with deploy/up\n' "$target" >&2
  exit 1
}
