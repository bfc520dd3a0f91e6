"""Irrelevant sentences, shared by the classification generators: they carry no label."""

from __future__ import annotations

from metapeft.sources.grammar.engine import phrases

FILLERS = phrases("""
I am writing this on [Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday] [morning|evening|night];
this is my [first|second|third|fourth] message [here|on this page|this week];
my [sister|brother|neighbour|colleague|cousin|aunt|flatmate] asked me to write this;
it is [raining|snowing|windy|sunny] here today;
I am typing this [on the train|in the kitchen|at my desk|from my phone|on the bus];
for context, I live in a [small|big|quiet|busy] [town|city|village];
I [rarely|seldom|hardly ever|sometimes] write things like this;
we have [two|three|four] [kids|cats|dogs|lodgers], just so you know;
it was [about|around|roughly] [noon|midnight|six o'clock|ten o'clock] at the time;
sorry if this is [short|long|a bit rambling|in the wrong place];
I have [a long drive|work|a meeting|an exam] tomorrow;
just [back|home] from [a walk|the shops|work|the gym];
my [phone|laptop|tablet] corrects half of what I type;
this was [last week|in March|in June|the other day|two weeks ago|in autumn];
my [coffee|tea|soup|lunch] is getting cold while I write
""")
