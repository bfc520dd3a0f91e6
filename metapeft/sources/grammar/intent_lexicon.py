"""What people want, in five domains of fifteen intents.

A line is `intent: requests / situations`. A request follows "I want to"; a situation is a sentence of its own that
implies the request without naming it. Common wordings come first.
"""

from __future__ import annotations

INTENTS: dict[str, str] = {
    "banking": """
        card_arrival: find out when my [new card|card|debit card] arrives; track the card you [sent|posted|mailed]; know how long delivery of the plastic takes / the postman has brought nothing from you yet; I ordered a replacement [ten days|two weeks] ago and still wait; the envelope with the card never came
        lost_card: report a [lost|missing|misplaced] card; tell you my card is gone; declare my wallet lost / I left my wallet [in a taxi|on the train|at a cafe]; my card is nowhere in the house; someone picked my pocket; the card slipped out somewhere [in town|at the beach]
        card_swallowed: get my card back from the machine; report that the cash machine kept my card / the machine pulled it in and went dark; the slot would not give it back; the terminal at the [station|mall] ate the plastic
        change_pin: change my PIN; pick a new PIN; reset the four digits of my card; replace the secret number / somebody watched me type the digits; I cannot remember the four numbers; my code is my birthday, which is silly
        card_declined: know why my card was declined; learn why a payment was refused / the till beeped and the clerk shook her head; it would not go through at the [supermarket|petrol station]; the shop said the bank said no, though there is money
        transfer_pending: see why my transfer is [pending|still waiting]; hurry a transfer along; know when the money lands / I sent money [on Monday|days ago] and she has not got it; the status has been [yellow|processing] since yesterday; my landlord says nothing has come in
        cancel_transfer: cancel a transfer; stop a payment I [made|sent]; call back money I sent / I typed the wrong account number; it went to the wrong Peter; I pressed send twice
        exchange_rate: know the exchange rate; see what rate you use for [dollars|yen|francs]; compare your currency rate / I will be spending in another currency next week; how many [kroner|pesos] would a hundred get me
        fee_charged: ask about a fee; understand a charge on my statement; dispute the extra charge / two pounds vanished and I do not know what for; a line says service and a sum; the cash machine took more than I asked for
        top_up: top up my account; add money to my balance; load funds by card / my balance is nearly nothing and payday is far; I want the pot fuller before the trip; there is cash in my hand that should be in the account
        balance_wrong: know why my balance is wrong; report that the balance does not add up / I paid in a cheque and the number did not move; the total on the screen is short; by my sums there should be more
        verify_identity: verify my identity; prove who I am; upload my passport for the check / the app wants a selfie and I am not sure why; you asked for papers; my driving licence photo keeps being rejected
        close_account: close my account; end my relationship with the bank; delete my account / I am moving to another bank; I have no use for you any more; take me off the books
        open_savings: open a savings account; put money aside with interest; start a savings pot / some of my salary is left every month; my daughter is born and I think of her future; the inheritance should earn something
        direct_debit: set up a direct debit; manage a standing order; stop a monthly payment / the gym keeps taking money on the first; my rent should leave by itself each month; I never agreed to that yearly charge""",
    "travel": """
        book_flight: book a flight; reserve a plane ticket; get a seat on a plane to [Oslo|Lima|Rome] / I have to be in [Oslo|Lima|Rome] by [Friday|Monday] and the sea is in between; two of us would fly out in [May|June]
        cancel_booking: cancel my booking; call off my reservation; withdraw from the trip / we will not be going after all; my knee is broken and so is the holiday; plans fell through
        change_dates: change my dates; move my booking to another day; push the trip back a week / the wedding got postponed and so must we; I would rather come on the ninth; my boss wants me here that week
        baggage_allowance: know the baggage allowance; ask how many bags I may bring; learn the weight limit / my suitcase weighs thirty kilos; can skis go in the hold; one rucksack and a cello, will that do
        lost_luggage: report lost luggage; find my missing suitcase; trace my bag / the belt stopped and mine was not on it; my clothes went to [Madrid|Cairo] without me; I am here, my things are not
        seat_choice: choose a seat; sit by the window; change where I sit / my legs are long; we would like to be side by side; the row near the toilets is not for me
        check_in: check in online; get my boarding pass; do the check-in / where is the barcode for the gate; the app does not show the pass; must I queue at the desk in the morning
        flight_status: check the flight status; know if my plane is delayed; see whether we depart on time / there is fog and I wonder; will my mother land at nine as printed; the board says nothing yet
        hotel_booking: book a hotel; reserve a room; find a place to stay / we need [two|three] beds near the centre; I arrive late and have nowhere to sleep; anything with breakfast for four nights
        car_rental: rent a car; hire a van; reserve a vehicle / there are no buses where we go; we want to drive along the coast; something with seven seats and a roof rack
        visa_question: ask about a visa; know if I need a visa; learn what papers I need to enter / will they let me in with my passport; how long may I remain in the country; the consulate does not pick up
        refund_request: get a refund; ask for my money back; claim a refund of the fare / the trip was called off by you and I paid in full; nobody has returned what I paid; vouchers are no use to me
        travel_insurance: buy travel insurance; insure my trip; ask what the cover includes / what if I break a leg up there; who pays should the bags be stolen; mother is eighty and I want us to be safe
        special_meal: order a special meal; ask for a vegan meal on board; request food without nuts / my son swells up from peanuts; I do not eat meat; gluten is my enemy
        airport_transfer: book an airport transfer; arrange a pickup; get a ride from the airport / we land at midnight with three children; how do I reach the hotel from arrivals; no trains run at that hour""",
    "assistant": """
        set_alarm: set an alarm; wake me at [six|seven]; add an alarm for the morning / I must be up before the sun; do not let me sleep past [six|seven]; the early bus will not wait for me
        play_music: play some music; put on [jazz|a playlist]; start a song / it is too quiet in here; I feel like dancing; something with violins would be nice
        weather_query: know the weather; hear the forecast; check if it rains [today|tomorrow] / do I need an umbrella; will the picnic be wet; how many layers for the walk
        set_reminder: set a reminder; be reminded to [water the plants|call Dad]; remember the [pills|bins] / I always forget the bins on Tuesday; poke me about the pills at noon; this must not slip my mind
        turn_on_lights: turn on the lights; switch on the lamp; make the room brighter / I cannot see my own hands; it is dark in the hall; the sun has set and I am reading
        turn_off_lights: turn off the lights; switch the lamp off; make it dark / I am going to sleep now and it is too bright; the bulb hurts my eyes; nobody is in the kitchen, save the power
        set_temperature: set the temperature; make it warmer; turn the heating [up|down] / my toes are ice; it is an oven in here; twenty-one degrees would be pleasant
        calendar_add: add a meeting to my calendar; put an event in my diary; schedule a call / the dentist can see me on the ninth at four; lunch with Ana on [Friday|Monday], keep that hour free
        calendar_query: know what is in my calendar; hear my plans for [today|tomorrow]; check when I am free / am I busy on Thursday afternoon; what have I got after lunch; is there room for a haircut this week
        send_message: send a message; text [Mum|Sam]; write to my brother / let Sam know I am late; tell her I said yes; he should hear that the train is stuck
        shopping_list: add milk to the shopping list; put eggs on the list; note groceries / we are out of milk; there is no bread left; next time at the store I want soap
        news_query: hear the news; get the headlines; know what happened today / what is going on in the world; did I miss anything big; catch me up on today
        joke: hear a joke; be told something funny; laugh / I could do with a giggle; cheer me up, will you; say something silly
        timer: start a timer; set a timer for [ten|five] minutes; count down / the pasta needs eight minutes; tell me when a quarter of an hour is over; the eggs should not boil too long
        translate: translate a sentence; know a word in [French|Polish]; say thank you in [French|Polish] / what do they mean by bonjour; how would a Pole say good evening; the menu is all in Greek to me""",
    "telecom": """
        no_signal: fix my signal; report no reception; get coverage back / there are no bars on my phone; I must stand on the roof to make a call; my village has become a dead spot
        slow_internet: speed up my internet; complain that the connection is slow; get the bandwidth I pay for / a page takes a minute; films stop every ten seconds; my calls look like slide shows
        activate_sim: activate my SIM; switch on a new SIM card; register the chip / the little card is in, and nothing; it came in the post, what now; the tray is shut and the screen says invalid
        data_usage: check my data usage; know how much data is left; see my gigabytes / I watched films on the train and worry; am I near my limit; did the kids use it all up
        roaming: turn on roaming; use my phone abroad; ask what calls cost in other countries / I cross the border tomorrow; will it work on the ferry; in [Spain|Turkey] last year it cost me a fortune
        bill_question: ask about my bill; understand my invoice; know why the bill is higher / forty instead of twenty this month; a number I never rang is listed; what is this line for extras
        change_plan: change my plan; switch to another tariff; get a bigger package / I hardly use any of it; the small one is too small; what my brother pays for sounds better
        cancel_contract: cancel my contract; terminate my plan; end the agreement / I am moving abroad for good; two years are up and I have had enough; another company has won me over
        keep_number: keep my number; move my number to you; port an old number / everyone knows me by these digits; I come from a rival and do not want to tell all my friends
        broken_phone: repair my phone; report a broken handset; have the screen fixed / it fell in the sink; there is a spider web across the glass; it will not switch on since yesterday
        voicemail: set up voicemail; listen to my messages; turn off the mailbox / people say they get a beep and silence; a robot answers when I do not; someone spoke on the tape and I cannot hear it
        pay_bill: pay my bill; settle what I owe; make a payment / the reminder says tomorrow; my card changed and the amount bounced; take the sum and let us be even
        unlock_phone: unlock my phone; use my handset with another network; remove the network lock / a foreign chip is refused; my sister wants the device for her provider; it accepts only yours
        router_setup: set up my router; connect the box; install the modem / the light stays red; there is a box with cables on my table; which plug goes into the wall
        technician_visit: book a technician; have someone come to my home; move a technician appointment / when does he come; nobody rang the bell between eight and twelve; I cannot be in on that day""",
    "health_faq": """
        book_appointment: book an appointment; see a doctor; get a slot with the nurse / when could she look at me; my knee should be examined; is anything free [this week|on Monday]
        cancel_appointment: cancel my appointment; give up my slot; call off the visit / I feel fine again and need not come; something came up on that day; let another patient have my hour
        prescription_refill: refill my prescription; order more of my tablets; renew my medicine / the box is nearly empty; two pills left; I take the same thing every month and it runs out
        test_results: get my test results; ask about my blood test; see the lab report / you drew blood a week ago; what did the scan show; nobody has rung me about the sample
        opening_hours: know the opening hours; ask when you are open; learn if you close at noon / are you there on a Saturday; can I come by after work; is anyone in at eight
        vaccination: get a vaccination; have a flu shot; ask about vaccines / I am off to the tropics and want to be protected; my daughter starts school and must be covered; the jab everybody gets in autumn
        side_effects: ask about side effects; know whether the medicine makes one [dizzy|sleepy]; report a reaction / since I take it I cannot sleep; a rash came up after the second dose; is it normal to be dizzy on this
        insurance_cover: know if insurance covers it; ask whether my plan pays; send the claim / who pays for the crown; will I have to open my own wallet; my policy is from abroad
        referral: get a referral; be sent to a specialist; ask for a letter to the [skin|heart] clinic / the other clinic will not see me without a paper; my doctor said someone who knows hearts should look
        sick_note: get a sick note; ask for a certificate for work; have proof that I was ill / my boss wants it in writing; I was in bed for a week and they will not pay; school needs a paper from you
        diet_advice: get advice on diet; know what to eat; ask for a meal plan / my sugar is high, is bread allowed; what belongs on my plate; are eggs good or bad for me
        emergency_info: know what to do in an emergency; ask where the emergency room is; learn the number for urgent help / he has pain in his chest right now; she swallowed a button; the cut will not stop bleeding
        change_doctor: change my doctor; register with another GP; switch to a different practice / we do not get on, she and I; I have moved across town; I would be easier with a woman
        visiting_hours: know the visiting hours; ask when I can visit a patient; learn how many visitors may come / grandma lies on the third floor; may the children come along to see her; until what time can I sit at his bed
        find_pharmacy: find a pharmacy; know where the nearest chemist is; look for a pharmacy open at night / it is past midnight and I need drops; where do I take this slip of paper; my cream is sold out here""",
}

FRAMES = """
    I [want|would like|need] to {request}; [can|could] you help me {request}; how do I {request}; please help me {request};
    I am trying to {request}; is it possible to {request}; where do I go to {request}; what must I do to {request};
    [hi|hello], I have to {request}; may I {request}; [I'd|I would] love to {request}; time to {request}
"""

ASIDES = """
    I know how to {other}, that is not it; last time I had to {other}, and this is another matter;
    my [wife|husband|brother|friend] wanted to {other}, I do not; no need to {other}; before you ask, I do not want to {other};
    the menu only offered to {other}, which is not my question; yesterday you helped me {other}, thanks for that;
    I pressed the button to {other} by accident, ignore that
"""

TAILS = """
    [thanks|thank you|cheers]; what now; can you help; any idea; please advise; what should I do; [hope|trust] you can sort it;
    I am a bit lost; it is [rather|quite|fairly] urgent; no hurry; [tell|let] me know; what are my options
"""
