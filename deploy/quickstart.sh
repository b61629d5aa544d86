#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a clone to an answer with one command: installs what is missing, builds the three binaries, serves a model on
# two tensor-parallel CPU workers, streams an answer with its thinking, says what to try next, stops.
#
#   deploy/quickstart.sh                 answer one question and stop
#   deploy/quickstart.sh --serve         keep serving on ports 8000 (HTTP) and 50051 (gRPC) until Ctrl-C
#   deploy/quickstart.sh --http-port N   with --serve: on this port instead (0: any free one)
#   deploy/quickstart.sh --prompt TEXT   ask this instead
#   deploy/quickstart.sh --seed N        answers are drawn; the same seed draws the same one
#   deploy/quickstart.sh --no-install    do not call apt-get
set -euo pipefail

usage() { sed -n '3,11s/^# \{0,1\}//p' "$0"; }

keep_serving=0 install=1 http_port=8000 seed=() prompt='How many letters r are in strawberry?'
while [ $# -gt 0 ]; do
  case "$1" in
    --serve) keep_serving=1 ;;
    --no-install) install=0 ;;
    --http-port)
      [ $# -ge 2 ] || { echo "quickstart.sh: --http-port needs a number" >&2; exit 2; }
      http_port=$2
      shift
      ;;
    --http-port=*) http_port=${1#--http-port=} ;;
    --prompt)
      [ $# -ge 2 ] || { echo "quickstart.sh: --prompt needs a text" >&2; exit 2; }
      prompt=$2
      shift
      ;;
    --seed)
      [ $# -ge 2 ] || { echo "quickstart.sh: --seed needs a number" >&2; exit 2; }
      seed=(--seed "$2")
      shift
      ;;
    --prompt=*) prompt=${1#--prompt=} ;;
    -h | --help) usage; exit 0 ;;
    *) echo "quickstart.sh: unknown argument '$1' (see --help)" >&2; exit 2 ;;
  esac
  shift
done

cd "$(dirname "$0")/.."
started=$SECONDS
say() { printf '[%4d s] %s\n' $((SECONDS - started)) "$*"; }
fail() {
  printf '[%4d s] quickstart.sh: %s\n' $((SECONDS - started)) "$*" >&2
  exit 1
}

# Commands to paste, for a server at $1. In a question, /no_think asks for an answer without thinking.
what_to_try() {
  local post="curl -N $1/v1/chat/completions -H 'Content-Type: application/json'"
  cat <<END
  # Talk in the terminal. /help lists the commands; end a question with /no_think, or with /think.
  build/bin/sluice chat --url $1
  # It thinks first, digit by digit.
  build/bin/sluice chat --url $1 --prompt 'What is 347 + 85?'
  # It answers at once.
  build/bin/sluice chat --url $1 --prompt "How many e's are in cheese? /no_think"
  # It answers in Chinese.
  build/bin/sluice chat --url $1 --prompt '单词 banana 里有几个 a？'
  # The OpenAI API, streaming. Any OpenAI client works with base_url $1/v1.
  $post \\
    -d '{"messages": [{"role": "user", "content": "Reverse the word planet."}], "stream": true}'
  # It calls a tool. Send the result back as a message of role "tool", and it tells you.
  $post \\
    -d '{"messages": [{"role": "user", "content": "What is the weather in Paris?"}],
      "tools": [{"type": "function", "function": {"name": "get_weather", "description": "Get the weather",
      "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}'
  # To read: docs/api.md (fields, thinking, tools, gRPC), docs/operations.md (flags, metrics), docs/architecture.md.
END
}

server='' server_log=''
stop_server() {
  [ -n "$server" ] || return 0
  kill -TERM "$server" 2>/dev/null || true
  local status=0
  wait "$server" || status=$?
  server=''
  return $status
}
cleanup() {
  stop_server || true
  [ -z "$server_log" ] || rm -f "$server_log"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# 1. Packages.
if [ "$install" = 1 ]; then
  say "1/4 Packages: looking for what is missing"
  deploy/install_dependencies.sh
else
  say "1/4 Packages: skipped (--no-install)"
fi

# 2. Build. A compiler takes up to 2 GB for one file, so small machines build fewer at once.
jobs=$(nproc)
memory_gb=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
[ "$memory_gb" -ge $((2 * jobs)) ] || jobs=$((memory_gb / 2 > 0 ? memory_gb / 2 : 1))
say "2/4 Build: sluice, sluice-gateway and sluice-worker with $jobs job(s)"
if [ ! -f build/build.ninja ]; then
  # Tests stay out (they need more packages); so do warnings as errors, for compilers that warn about more.
  cmake --preset release -DSLUICE_TESTS=OFF -DSLUICE_WERROR=OFF >build-configure.log 2>&1 || {
    tail -n 30 build-configure.log >&2
    fail "CMake could not configure the build (its last lines are above; all of them in build-configure.log)"
  }
  grep -h 'Sluice:' build-configure.log || true
  rm -f build-configure.log
fi
NINJA_STATUS='[%f/%t, %e s] ' ninja -C build -j "$jobs" sluice sluice-gateway sluice-worker ||
  fail "the build failed; the compiler's message is above"

# 3. A model: the bundled one, else a small one with random weights.
model='' max_tokens=512
for config in deploy/demo_model/config.json deploy/demo_model/*/config.json; do
  if [ -f "$config" ]; then
    model=$(dirname "$config")
    break
  fi
done
if [ -n "$model" ]; then
  say "3/4 Model: the bundled one, $model"
else
  model=models/random max_tokens=64
  if [ -f "$model/config.json" ]; then
    say "3/4 Model: $model, made earlier. Its weights are random: it answers with noise"
  else
    say "3/4 Model: none is bundled yet. Making one with random weights: it answers with noise"
    mkdir -p models
    python3 deploy/demo_model/random_checkpoint.py --tokenizer tests/golden/qwen3/tokenizer.json.xz \
      --chat-template deploy/demo_model/chat_template.jinja --output "$model"
  fi
fi

# 4. Serve it, ask, stop.
say "4/4 Serving $model on two tensor-parallel CPU workers"
ports=(--http-port=0 --grpc-port=0 --metrics-port=0)
[ "$keep_serving" = 0 ] || ports=(--http-port="$http_port")
server_log=$(mktemp)
# In a session of its own, so that a Ctrl-C reaches it once, through stop_server, and not from the terminal as well.
setsid build/bin/sluice serve "$model" --tp-size=2 --device=cpu "${ports[@]}" </dev/null >"$server_log" 2>&1 &
server=$!
until url=$(sed -n 's/^listening http=\([^ ]*\).*/http:\/\/\1/p' "$server_log") && [ -n "$url" ]; do
  if ! kill -0 "$server" 2>/dev/null; then
    server=''
    cat "$server_log" >&2
    fail "the server ended before it was ready; its messages are above"
  fi
  sleep 0.1
done
say "Ready at $url. Asking: $prompt"
say "It thinks first (dimmed on a terminal), then answers:"
echo
asked=$SECONDS
stats=$(mktemp)
status=0
build/bin/sluice chat --url "$url" --prompt "$prompt" "${seed[@]}" --max-tokens "$max_tokens" --stats --stats-file "$stats" ||
  status=$?
echo
first=$(sed -n 's/.*"first_token_s": \([0-9.]*\).*/\1/p' "$stats")
rm -f "$stats"
if [ "$status" != 0 ]; then
  cat "$server_log" >&2
  fail "the answer failed; the messages of chat and server are above"
fi
from_start=$(awk -v asked=$((asked - started)) -v first="${first:-0}" 'BEGIN { printf "%.0f", asked + first }')
say "The first token came ${first:-?} s after the question, $from_start s after the start of this script."

if [ "$keep_serving" = 1 ]; then
  say "Serving on until Ctrl-C: $(sed -n 's/^listening //p' "$server_log")"
  say "What to try next, from another terminal in this folder."
  what_to_try "$url"
  trap 'echo; say "Stopping"' INT
  wait "$server" || true
fi
stop_server || {
  cat "$server_log" >&2
  fail "the server did not stop cleanly; its messages are above"
}
if [ "$keep_serving" = 0 ]; then
  say "What to try next: serve on with one of these, and the rest from another terminal in this folder."
  cat <<END
  deploy/quickstart.sh --serve
  build/bin/sluice serve $model --tp-size=2 --device=cpu
END
  what_to_try http://localhost:8000
fi
say "Done: built, served on two workers, answered, stopped."
