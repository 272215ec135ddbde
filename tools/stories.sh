#!/usr/bin/env bash
# A real pretrained model learns to tell happier stories: pairs from its own continuations, ranked by a sentiment lexicon; DPO; evaluation
# on openings it has not seen. About a minute on 2 cores. docs/stories.md explains it and holds a result.
#
#   tools/stories.sh MODEL STORIES.txt LEXICON.txt [OUT]
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
model=$1 stories=$2 lexicon=$3 out=${4:-out/stories}
for path in "$model" "$stories" "$lexicon"; do
    [ -e "$path" ] || { echo "tools/stories.sh: $path: no such file; give the path of the model, the stories and the lexicon" >&2; exit 1; }
done
cd "$(dirname "$0")/.." && here=$PWD && cd "$OLDPWD"
tinydpo() { dotnet run -c Release --no-build --project "$here/src/Cli" -- "$@"; }
dotnet build -c Release --nologo -v q "$here/src/Cli" >&2
mkdir -p "$out"

# A story begins where a line follows another without a blank one between. Its opening is the first sentence; each opening counts once, so
# none of the held-out ones was trained on.
awk 'NR == 1 || (previous != "" && $0 != "") { if (match($0, /^[^.!?]*\./)) print substr($0, 1, RLENGTH) } { previous = $0 }' "$stories" |
    awk 'length($0) >= 20 && length($0) <= 160 && !seen[$0]++' > "$out/openings.txt"
total=$(wc -l < "$out/openings.txt")
[ "$total" -ge 400 ] || { echo "tools/stories.sh: $stories: only $total openings found, 400 are needed" >&2; exit 1; }
tail -n 250 "$out/openings.txt" > "$out/held-out.txt"
head -n $((total - 250)) "$out/openings.txt" > "$out/train.txt"

rm -rf "$out/dpo"
tinydpo pairs --model "$model" --prompts "$out/train.txt" --reward "lexicon:$lexicon" --completions 4 --pairing all --max-tokens 64 \
    --seed 1 --out "$out/pairs.jsonl"
tinydpo dpo --model "$model" --data "$out/pairs.jsonl" --out "$out/dpo" --beta 0.3 --learning-rate 1e-4 --epochs 1 --batch-size 32 \
    --warmup-steps 5 --seed 1
tinydpo eval --policy "$out/dpo/model" --reference "$model" --prompts "$out/held-out.txt" --reward "lexicon:$lexicon" --max-tokens 64 \
    --seed 2 --samples "$out/samples.jsonl" | tee "$out/result.json"
