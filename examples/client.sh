#!/usr/bin/env bash
# A client in bash (4.4) with curl:  testbed run vpn-latency --command "bash examples/client.sh"
# The contract: the target is JSON in TESTBED_TARGET; write the text as it arrives; exit 0, or exit 1 after "testbed-error: <class>".
# What bash cannot do: tell bytes that trickle inside one line from silence, keep NUL, and reject every kind of broken JSON.
export LC_ALL=C
T=$TESTBED_TARGET request=${TESTBED_TARGET##*\"request\":} request=${request%\}} shown=
word() { [[ $T =~ \"$1\":\"?([^\",}]*) ]] && [[ ${BASH_REMATCH[1]} != null ]] && printf %s "${BASH_REMATCH[1]}" || printf %s "$2"; }
dialect=$(word dialect) idle=$(word idle_timeout 86400) first=$(word first_byte_timeout 86400) retries=$(word max_retries 0)
declare -A path=([openai-chat]=/chat/completions [anthropic-messages]=/v1/messages [eventsource]=)
declare -A statuses=([400]=bad_request [401]=unauthorized [403]=permission_denied [404]=not_found [409]=conflict
  [413]=too_large [415]=bad_request [422]=bad_request [429]=rate_limited [503]=overloaded [529]=overloaded)
declare -A causes=([6]=connect [7]=connect [28]=connect [18]=incomplete [52]=incomplete [56]=reset,incomplete)
utf8() { # code point to bytes, in `bytes`
  local c=$1 octal
  if   ((c < 0x80));    then printf -v octal '\\%o' "$c"
  elif ((c < 0x800));   then printf -v octal '\\%o\\%o' $((0xC0 | c >> 6)) $((0x80 | c & 0x3F))
  elif ((c < 0x10000)); then printf -v octal '\\%o\\%o\\%o' $((0xE0 | c >> 12)) $((0x80 | c >> 6 & 0x3F)) $((0x80 | c & 0x3F))
  else printf -v octal '\\%o\\%o\\%o\\%o' $((0xF0 | c >> 18)) $((0x80 | c >> 12 & 0x3F)) $((0x80 | c >> 6 & 0x3F)) $((0x80 | c & 0x3F)); fi
  printf -v bytes '%b' "${octal//\\/\\0}"
}
show() { # the inside of a JSON string, to stdout
  local in=$1 out= code bytes
  while [[ $in == *\\* ]]; do
    out+=${in%%\\*} in=${in#*\\}
    case $in in
      n*) out+=$'\n' ;; t*) out+=$'\t' ;; r*) out+=$'\r' ;; b*) out+=$'\b' ;; f*) out+=$'\f' ;;
      u*) code=$((16#${in:1:4})) in=${in:4}
        ((code >> 10 != 0x36)) || { code=$((0x10000 + ((code & 0x3FF) << 10) + (16#${in:3:4} & 0x3FF))) in=${in:6}; }
        utf8 "$code"; out+=$bytes ;;
      *) out+=${in:0:1} ;;
    esac
    in=${in:1}
  done
  [[ -z $out$in ]] || { shown=yes; printf %s "$out$in"; }
}
string() { [[ $data =~ \"$1\":\"(([^\"\\]|\\.)*)\" ]] && text=${BASH_REMATCH[1]}; }
event() { # one event: sets `terminal`, or fails with `error`
  local text=
  if [[ $dialect == eventsource ]]; then shown=yes; printf %s "$data"; return; fi
  [[ $data != '[DONE]' ]] || { terminal=hard; return; }
  [[ $data == \{*\} ]] && iconv -f UTF-8 -t UTF-8 <<<"$data" >/dev/null 2>&1 || { error=decode; return 1; }
  if [[ $data == *\"error\":\{* ]]; then string code || { data=${data#*\"error\":}; string type; }; error="provider code=$text"; return 1; fi
  [[ $data != *'"type":"message_stop"'* ]] || { terminal=hard; return; }
  if [[ $dialect == openai-chat ]]; then string content && show "$text"; else [[ $data == *'"text_delta"'* ]] && string text && show "$text"; fi
  if string finish_reason || string stop_reason; then terminal=soft; fi
}
attempt() { # 0: complete; 1: `error`, and `again` if another attempt may help
  local line code status= type= data= got= terminal= limit curl args=(-qisSN --http1.1 --connect-timeout "$(word connect_timeout "$first")")
  error= again= after=0
  [[ -z ${path[$dialect]} ]] || args+=(--data-binary "$request" -H 'Content-Type: application/json' -H "Authorization: Bearer $(word api_key)")
  exec 3< <(exec curl "${args[@]}" -H 'Accept: text/event-stream' "$(word base_url)${path[$dialect]}" 2>/dev/null); curl=$!
  while limit=$first; [[ -z $shown ]] || limit=$idle; IFS= read -r -t "$limit" line <&3; code=$?; ((code == 0)); do
    line=${line%$'\r'}
    if [[ -z $status ]]; then status=${line#* } status=${status%% *}
    elif [[ $type != body ]]; then
      case ${line,,} in content-type:\ text/event-stream*) type=stream ;; retry-after:\ [0-9]*) after=${line#*: } after=${after%%[!0-9]*} ;; '')
        [[ $status == 200 ]] || break; [[ $type == stream ]] || { error=protocol; break; }; type=body ;; esac
    elif [[ $line == data:* ]]; then line=${line#data:} data+=${got:+$'\n'}${line# } got=yes
    elif [[ -z $line && -n $got ]]; then event || break; data= got=; [[ $terminal != hard ]] || break; fi
  done
  if ((code > 128 || code == 0)); then kill "$curl" 2>/dev/null; fi # it is silent, or we know enough
  wait "$curl"; curl=$?; exec 3<&-
  if [[ -n $error || -n $terminal ]]; then [[ -z $error ]]; return; fi
  if ((code > 128)); then error=first_byte_timeout again=yes; [[ -z $shown ]] || error=idle_timeout
  elif [[ -n $status && $status != 200 ]]; then
    error="${statuses[$status]:-$( ((status >= 500 && status != 504)) && echo server_error || echo http_status)} status=$status"
    case $status in 408 | 429 | 5??) ((after > 60)) || again=yes ;; esac
  elif ((curl != 0)); then error=${causes[$curl]:-protocol} again=yes
  elif [[ $dialect == eventsource && $type == body ]]; then return 0
  else error=incomplete again=yes; fi
  return 1
}
for ((n = 0; ; n++)); do
  attempt && exit 0
  [[ -z $shown && -n $again ]] && ((n < retries)) || { echo "testbed-error: $error" >&2; exit 1; }
  if ((after > 0)); then sleep "$after"; else sleep "$(((1 << n) / 2)).$((5 * (n == 0)))"; fi
done
