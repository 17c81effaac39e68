P=/opt/torch/.venv/bin/python3
cat > /tmp/h.py <<'P'
import sys
from kernelwright.corpora.loading import exploits, honest
from kernelwright.corpora.self_check import judge_programs
h=[p for p in honest() if p.spec.language=="triton"]+[p for p in exploits() if p.spec.language=="triton"]
print(len(h))
print(judge_programs(h, modules_on="cuda", say=lambda s: print(s, flush=True)).model_dump_json(exclude={"rows"}))
P
timeout 230 $P /tmp/h.py 2>&1 | cut -c1-220 | tee $OUT/log.txt
