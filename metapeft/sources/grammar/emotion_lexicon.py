"""Emotions: `name: feeling words / what happened / what the writer does or notices`. Common feeling words first."""

from __future__ import annotations

EMOTIONS = """
    joy: happy, glad, delighted, overjoyed, cheerful, thrilled, over the moon, on top of the world, elated, in high spirits, jubilant, tickled pink / I got the job; the exam is passed; we won the cup at last; the baby said her first word; school is out; the cake rose; she said yes; our song came on; the tickets came through; the whole family is at the table / I cannot stop grinning; I danced round the kitchen; everything tastes better today; I whistled all the way home; I hugged the postman; my cheeks hurt from smiling
    sadness: sad, unhappy, down, miserable, heartbroken, gloomy, in low spirits, sorrowful, blue, downcast, desolate, forlorn / my dog died; she moved away; the old house was sold; nobody came to the party; grandpa's chair stays empty; the letter never came; they closed our cinema; my best friend stopped writing; the last day of summer is over / I cried in the car; I just want to stay in bed; the world looks grey; I keep looking at old photos; there is a lump in my throat; I have no appetite
    anger: angry, mad, furious, annoyed, irate, livid, outraged, fuming, seething, cross, incensed, up in arms / they cut the queue again; he lied to my face; someone scratched my car; the neighbour drills at midnight; they took the credit for my work; I was charged twice; the bus driver saw me and drove off; she read my diary; they blamed me for it / I slammed the door; my fists are still clenched; I wrote a letter full of capital letters; I could have thrown the phone; my jaw is tight; I am not letting this go
    fear: afraid, scared, frightened, terrified, anxious, worried sick, uneasy, petrified, on edge, full of dread, panicky, shaken / someone followed me home; the lift stopped between floors; there is a noise in the attic; the results come tomorrow; the plane dropped a hundred feet; I lost sight of my child in the crowd; the brakes did not answer; the dog would not let me pass; thunder shook the tent / my hands will not stop shaking; I checked the lock three times; I slept with the light on; my heart is racing; I dare not look; I held my breath
    surprise: surprised, amazed, astonished, stunned, startled, taken aback, speechless, dumbfounded, flabbergasted, thunderstruck, caught off guard, baffled / my sister stood at the door after ten years; the quiet boy sang like that; a cheque came from nowhere; they had all hidden behind the sofa; the price had halved; my name was read out; it snowed in July; the cat opened the door by itself; the twins turned out to be triplets / I had to read it twice; my jaw dropped; I did not see that coming; I nearly fell off the chair; who would have thought; I rubbed my eyes
    love: loving, fond, tender, affectionate, smitten, devoted, in love, besotted, attached, adoring, full of warmth, sweet on someone / he warmed my side of the bed; she saved me the last piece; we have been married forty years today; he learned my language for me; the little one fell asleep on my arm; her hand found mine in the dark; he keeps my drawing in his wallet; she waits up for me / I could look at that face for ever; I count the hours until we meet; I miss the smell of that coat; home is wherever those eyes are; I would do it all again with the same person
    disgust: disgusted, revolted, sickened, grossed out, repelled, nauseated, appalled, put off, repulsed, queasy, turned off, full of loathing / there was a hair in the soup; the fridge had been off for a month; he clipped his nails at the table; something moved in the salad; the bin juice ran down my leg; the sink was full of slime; a stranger sneezed in my face; the milk came out in lumps / I washed my hands four times; I cannot get the smell out of my nose; my stomach turned; I pushed the plate away; I had to leave the room; I still gag when I think of it
    calm: calm, relaxed, peaceful, at ease, serene, content, unhurried, tranquil, mellow, composed, untroubled, at rest / the lake was like glass; the children are asleep; there is nothing to do until Monday; rain taps on the roof and the stove is lit; the phone is off; the tea has the right colour; the cat purrs on my knees; the evening train is almost empty / my shoulders have come down; I watch the clouds go by; my breath is slow; I let the hours pass; nothing needs to be done; I put my feet up and listen
"""

CLAUSES = {
    "named": """I am {feeling}; I feel {feeling}; it [makes|made|leaves] me {feeling}; I have [seldom|never] been so {feeling};
        to be honest I am {feeling}; I have been {feeling} since; that left me {feeling}; you find me {feeling}""",
    "others": """my [sister|brother|mother|boss|flatmate|cousin] is {other} about it, I am not;
        everybody [expected|wanted] me to be {other}, and I am not [at all|in the least]; I thought I would be {other}, but no;
        [yesterday|last week|in the morning] I was {other}, and that has passed; do not think I am {other};
        my [friend|neighbour|colleague] would be {other} in my place, not me; I was told I sound {other}, wrongly""",
}

OPENINGS = {
    "diary": "dear diary; [Monday|Tuesday|Friday|Sunday], late; page [nine|ten|forty]; a line before I sleep; today, then; notes of the day",
    "social": "so; ok; update; [lol|well|hm]; [day|week] [two|three|nine]; not me posting again; small thread; [friends|people|folks]",
    "dialogue": "listen; you know what; I must tell you; guess what; [Anna|Tom|Mira|Leo], hear this; since you ask; you asked how I am",
}
