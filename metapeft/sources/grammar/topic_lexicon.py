"""What topics are talked about in: for each topic a list of nouns and noun phrases, common ones first.

`SUBJECTS` serve news, questions, snippets and social posts; science, products and ontology have lists of their own.
"""

from __future__ import annotations

from metapeft.sources.grammar.engine import phrases, words

SHARED = {
    "who": words("""officials, residents, several readers, two researchers, local people, critics, two writers, volunteers, families,
        visitors, many experts, commentators, some observers, our readers, neighbours"""),
    "day": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, this morning, last night, this week"),
    "place": words("""Norbridge, Velmora, East Harrow, Castleton, Port Elin, Sankt Orla, Marrow Bay, Tallis, Upper Wend, Kestrel Hill, Brenning,
        Lowfield, Dunmere, Ashport, Quillan, Rossvale, Harl, the valley, the coast, the capital, the north"""),
    "name": words("""Aldra, Benwick, Corvane, Delmo, Eskar, Fennimore, Galdry, Hollin, Istrel, Jorvane, Kelmore, Lindra, Morvay, Nestor, Ostrava
        Minor, Pellham, Quorin, Rendal, Silvane, Tormund, Ulvary, Vestra, Wexley, Yarrin, Zelmont"""),
    "surname": words(
        "Abbott, Berger, Castell, Dunmore, Eriksen, Farouk, Holloway, Jansen, Kowal, Moreau, Nakano, Okafor, Silva, Varga"
    ),
    "number": words("three, four, five, seven, nine, a dozen, twenty, forty, sixty, a hundred"),
}

MAIN: dict[str, tuple[str, ...]] = {
    "news": phrases("""{who} in {place} [worry|speak|disagree] about {term} and {term}; {day}: [new|fresh] questions about {term};
        {place} waits for news on {term}; [report|study|survey]: {number} [changes|surprises] in the story of {term};
        {who} [welcomed|criticised|explained] the latest on {term} {day}; a [long|difficult] year for {term} in {place};
        how {term} and {term} changed {place}; {who} [blame|thank|point to] {term}"""),
    "questions": phrases("""what should I know about {term}; how does {term} [work|compare] with {term};
        where in {place} can I [learn|read] about {term}; why do {who} care so much about {term};
        who can explain {term} to a beginner; is it true what they say about {term};
        what is the [best|first] thing to ask about {term}; when did {term} become such a big subject"""),
    "snippets": phrases("""{term} - [guide|tips|overview|archive] - {place}; {term}, {term}: [links|notes|pictures]; {number} facts about {term};
        [learn|find out] more about {term}; {place} directory: {term}; {term} [explained|in brief|for beginners]; [home|index] > {term} > {term}"""),
    "social": phrases("""[cannot|can't] stop thinking about {term}; [ok|so] {term} again, {day} is saved; anyone else up for {term} in {place}?;
        {number} hours of {term} and [counting|I am tired]; hot take: {term} beats {term}; my feed is nothing but {term};
        [day|week] {number} with {term}, wish me luck; {term}. that is the post"""),
    "science": phrases("""we study {term} [with|by means of] {method}; this paper presents {method} for {term};
        {method} [reveals|quantifies|constrains] how {term} depend on {term}; we report {number} [experiments|results] on {term};
        a(n) [improved|open|simple] account of {term} is given; {term} are revisited using {method};
        what limits {term} is not well understood, and we offer {method}"""),
    "products": phrases("""the {term} arrived {day} and [looks|feels] [fine|solid|nice]; [bought|ordered] this {term} for my [aunt|brother|partner];
        {term}, [pack of|set of] {number}; this {term} is [just what I needed|used every day]; {term} with {feature};
        we [keep|store] the {term} next to the {term}; a(n) {term} that [lasts|fits|travels well]"""),
    "ontology": phrases("""{name} is {term} [in|from|of] {place}; {name} {surname} ([active|known] from {year}) was {term} in {place};
        the name {name} refers to {term} [found|recorded|first mentioned] in {year}; {name}, {term} known for {feature}, dates from {year};
        {name} [is listed as|counts as|is regarded as] {term}"""),
}  # fmt: skip

ASIDES: dict[str, tuple[str, ...]] = {
    "news": phrases("""not {other}, for once; while {other} [made|filled] the headlines last week; after a long report on {other};
        the talk of {other} aside; on a page that usually covers {other}; unlike {other}, which got all the space before"""),
    "questions": phrases("""I know all about {other} already, so; forget {other} for a moment; my friend asks about {other}, but I wonder;
        this has nothing to do with {other}; after reading too much about {other}"""),
    "snippets": phrases(
        """(no longer here: {other}); moved elsewhere: {other}; not about {other}; previous section was {other}"""
    ),
    "social": phrases("""everyone is on about {other} but; muted {other}; done with {other} for today; no more {other} please;
        my brother posts {other} all day, me"""),
    "science": phrases("""in contrast to earlier work on {other}; borrowing an idea from the study of {other}; with methods first made for {other};
        {other} are outside our scope; although the same group is known for {other}"""),
    "products": phrases("""sent back the {other} and kept this; came in the same box as the {other}; instead of the {other} I first looked at;
        no, this is not the {other}; it was between this and the {other}"""),
    "ontology": phrases("""not to be confused with {other} of the same name; near {other}; named after {other}; once mistaken for {other};
        shown on a stamp beside {other}"""),
}

DETAILS = {
    "method": words("""a survey, a simple model, new measurements, simulations, a large data set, a theoretical bound, field observations,
        a controlled experiment, an efficient method, a review of the evidence, a unified framework, numerical analysis"""),
    "feature": words("""a two-year guarantee, a matching bag, its blue colour, an unusual shape, a long tradition, a small label, its size,
        a yearly festival, careful restoration, a quiet reputation, its many names"""),
    "year": tuple(str(year) for year in range(1790, 2021, 7)),
}  # fmt: skip

SUBJECTS: dict[str, str] = {
    "sports": """football, the league, the championship, tennis, the goalkeeper, a penalty, the coach, the marathon, a hat-trick,
        the relay team, the playoffs, a wicket, the paddock, a slam dunk, the peloton, the scrum, the regatta, a backhand,
        the pole vault, extra time, the dugout, the podium, a knockout round, the slalom, the javelin, the transfer window""",
    "politics": """the election, parliament, the president, the minister, a vote, the senate, the opposition, a referendum, the cabinet,
        the coalition, a ballot, the ambassador, the treaty, a by-election, the constitution, the lobbyists, the manifesto,
        the electorate, a filibuster, the delegates, a veto, the chancellor, the statehouse, the whip, a summit, the caucus""",
    "business": """the market, shares, the company, profits, investors, a merger, the bank, sales, inflation, the takeover, bonds,
        the shareholders, a bankruptcy, the supply chain, the retailer, wage talks, the exporters, a bailout, the auditors,
        the flotation, interest rates, the wholesaler, a hedge fund, the balance sheet, the franchise, quarterly earnings""",
    "technology": """software, the internet, a smartphone, computers, a startup app, robots, the chip, data centres, a hacker, the browser,
        the algorithm, an operating system, the firmware, a password leak, cloud storage, the touchscreen, open-source code,
        the processor, a search engine, encryption, the server farm, a beta release, augmented reality, the broadband grid""",
    "health": """the hospital, doctors, a vaccine, patients, the flu, surgery, nurses, the clinic, a diet, blood pressure, an allergy,
        the pharmacy, the ward, antibiotics, a transplant, physiotherapy, the waiting list, insulin, a migraine, the midwives,
        the inoculation drive, sleep apnoea, a sprained ankle, the paramedics, cholesterol, the hospice""",
    "travel": """the airport, flights, tourists, a beach holiday, the hotel, a passport, the cruise, luggage, a guided tour, the ferry,
        backpackers, the visa, a stopover, the itinerary, souvenirs, the caravan park, a city break, jet lag, the boarding gate,
        a hiking trail, the campsite, the night train, a roaming charge, sightseeing, the travel agent, an island resort""",
    "food": """the recipe, dinner, a restaurant, bread, cheese, the chef, chocolate, soup, vegetables, a bakery, olive oil, the sauce,
        dumplings, a casserole, the spice rack, sourdough, a picnic, pickles, the oven, saffron, a tasting menu, rhubarb,
        the food truck, lentils, a marinade, fermented cabbage, the barbecue, custard""",
    "music": """the band, a song, the concert, an album, guitars, the singer, the orchestra, a melody, the drummer, a symphony, vinyl,
        the choir, an opera, the conductor, a bass line, the string quartet, a remix, the pianist, a lullaby, the chorus,
        the setlist, a cello suite, the encore, a ballad, the accordion, the rehearsal room""",
    "education": """the school, teachers, students, exams, the university, homework, a scholarship, the classroom, tuition fees, a degree,
        the lecturer, the curriculum, literacy, a kindergarten, the syllabus, report cards, an apprenticeship, the dean,
        spelling tests, the playground rota, a dissertation, night classes, the headteacher, graduation day, a field trip""",
    "environment": """the climate, pollution, recycling, forests, emissions, wildlife, a drought, plastic waste, the glacier, sea level,
        wetlands, the nature reserve, deforestation, an oil spill, coral reefs, compost, soil erosion, the beavers, a wildfire,
        biodiversity, the carbon budget, migrating geese, groundwater, air quality, peat bogs, a rewilding scheme""",
    "crime": """the police, a robbery, the court, a thief, the jury, prison, the judge, a burglary, the suspect, fraud, the verdict,
        the detective, a forged cheque, witnesses, the prosecutor, an alibi, bail, smugglers, a break-in, the warrant,
        fingerprints, the getaway car, a plea deal, the bailiff, embezzlement, the stolen painting""",
    "cars": """the car, an engine, electric vehicles, drivers, the motorway, brakes, a gearbox, the dealership, petrol, tyres, the garage,
        a hatchback, the exhaust, a charging point, the windscreen, spark plugs, a convertible, the clutch, the bonnet,
        a test drive, suspension, the odometer, a crankshaft, hybrid models, the alternator, a pile-up""",
    "housing": """rent, a mortgage, the landlord, houses, tenants, an apartment, the estate agent, a roof repair, building permits, the kitchen
        extension, a lease, property tax, the scaffolding, insulation, eviction, a bungalow, the housing co-op, plumbing, a loft
        conversion, the surveyor, damp walls, a deposit, terraced streets, the floor plan, double glazing, the bricklayers""",
    "fashion": """the dress, a designer, shoes, the catwalk, jeans, a handbag, the collection, models, jewellery, a silk scarf, tailors,
        knitwear, the boutique, a trench coat, sequins, the hemline, vintage denim, a perfume line, pleats, the fitting room,
        embroidery, a capsule wardrobe, loafers, the lookbook, corduroy, a milliner""",
    "space": """the rocket, a satellite, the moon, astronauts, Mars, the telescope, an orbit, a meteor, the launch pad, a galaxy, the lander,
        the spacewalk, a comet, the heat shield, solar wind, an exoplanet, mission control, the capsule, a black hole, the rover,
        a solar eclipse, zero gravity, the asteroid belt, a nebula, the booster stage, the docking port""",
    "history": """the war memorial, an empire, the king, ancient ruins, a castle, the revolution, archaeologists, the monastery, a dynasty,
        medieval coins, the archive, a battlefield, the crusade, bronze tools, the pharaoh, a burial mound, feudal law, the treaty of
        1648, a Roman road, the chronicle, hieroglyphs, the plague years, a siege, cave paintings, the guilds, a coronation""",
    "gaming": """the console, a video game, players, the controller, a level boss, multiplayer, a quest, the joystick, the leaderboard,
        a speedrun, loot boxes, the arcade, an avatar, the patch notes, side missions, a guild raid, pixel art, the dungeon,
        respawn points, a platformer, the expansion pack, cutscenes, a modding community, the tutorial stage, split screen""",
    "gardening": """the garden, roses, seeds, a lawn, tomatoes, the soil, a greenhouse, pruning, tulips, the hedge, weeds, fertiliser,
        a wheelbarrow, slugs, the trellis, bulbs, a raised bed, mulch, dahlias, the watering can, an allotment, grafting,
        aphids, a rockery, the orchard, hydrangeas, perennials, a potting shed""",
    "pets": """the dog, a cat, puppies, the vet, a leash, kittens, a hamster, dog food, the litter tray, a parrot, fleas, the aquarium,
        a rescue shelter, obedience classes, the scratching post, a guinea pig, worming tablets, chew toys, a terrier,
        the rabbit hutch, budgies, grooming brushes, a microchip, the cattery, a tortoise, bird seed""",
    "weather": """the storm, rain, snow, a forecast, temperatures, wind, a hurricane, the heatwave, fog, lightning, a cold front, hail,
        the barometer, sleet, gale warnings, humidity, a tornado, frost, drizzle, the jet stream, black ice, thunderclouds,
        a blizzard, storm surge, the monsoon, a dry spell""",
}

SCIENCE: dict[str, str] = {
    "astronomy": """galaxies, stars, supernovae, black holes, exoplanets, the interstellar medium, pulsars, dark matter halos, redshift surveys,
        accretion discs, stellar spectra, gravitational lensing, cosmic dust, brown dwarfs, the solar corona, quasars, globular clusters,
        radio bursts, protoplanetary discs, light curves""",
    "machine_learning": """neural networks, classifiers, training data, gradient descent, reinforcement learning, language models, embeddings,
        transfer learning, attention layers, overfitting, generative models, kernel machines, label noise, meta-learning, decision
        trees, adversarial examples, regularization, Bayesian optimization, few-shot tasks, representation learning""",
    "mathematics": """prime numbers, manifolds, groups, graph colourings, Hilbert spaces, elliptic curves, topological invariants, convex sets,
        polynomials, Lie algebras, partitions, category theory, random matrices, modular forms, knots, ergodic averages, lattices,
        Ramsey bounds, harmonic maps, cohomology""",
    "quantum_physics": """qubits, entanglement, photons, quantum states, decoherence, superposition, trapped ions, Bell inequalities, tunnelling,
        spin chains, quantum gates, squeezed light, teleportation, error-correcting codes, cavity modes, anyons, measurement
        back-action, Rydberg atoms, wave functions, quantum annealing""",
    "molecular_biology": """proteins, genes, DNA repair, enzymes, RNA splicing, membranes, transcription factors, ribosomes, cell signalling, mutations,
        chaperones, CRISPR screens, histones, mitochondria, plasmids, kinases, stem cells, apoptosis, codon usage, ion channels""",
    "neuroscience": """neurons, the cortex, synapses, brain imaging, the hippocampus, memory traces, dopamine release, spike trains, working memory,
        sleep spindles, glial cells, motor learning, visual pathways, fear conditioning, place cells, axons, the cerebellum, EEG rhythms,
        sensory maps, neuromodulation""",
    "chemistry": """catalysts, polymers, reaction yields, solvents, ligands, crystal structures, oxidation, organic synthesis, zeolites, chirality,
        electrolytes, mass spectra, ring closures, hydrogels, radicals, metal complexes, titration curves, photochemistry, aerosols,
        supramolecular cages""",
    "climate_science": """the climate, ocean currents, carbon dioxide, rainfall patterns, sea ice, ice cores, monsoons, aerosol forcing, methane,
        permafrost, heat extremes, cloud feedback, tree rings, sea surface temperature, El Nino, emission pathways, drought indices,
        soil moisture, the stratosphere, glacier retreat""",
    "economics": """prices, labour markets, taxes, auctions, trade flows, inequality, monetary policy, consumers, minimum wages, banks, contracts,
        unemployment spells, exchange rates, tariffs, household debt, matching markets, public goods, firm entry, housing bubbles,
        cartels""",
    "robotics": """robots, grippers, drones, motion planning, legged locomotion, manipulators, obstacle avoidance, localization, soft actuators,
        tactile sensors, swarms, exoskeletons, visual servoing, teleoperation, inverse kinematics, gait control, assembly lines,
        underwater vehicles, grasping, path tracking""",
    "medicine": """patients, clinical trials, tumours, vaccines, insulin, blood pressure, hospital stays, antibiotics, surgery, biomarkers, sepsis,
        stroke, placebo arms, asthma, screening, heart failure, dosage, rehabilitation, side effects, kidney disease""",
    "ecology": """species, habitats, predators, pollinators, food webs, forests, migration, coral reefs, invasive plants, soil microbes, seed dispersal,
        fish stocks, grazing, wetlands, symbiosis, nesting sites, population cycles, extinction risk, plankton, hedgerows""",
    "materials_science": """alloys, thin films, graphene, semiconductors, batteries, ceramics, fracture, grain boundaries, coatings, perovskites, corrosion,
        composites, nanowires, superconductors, fatigue, metallic glass, dielectrics, annealing, hardness, porous foams""",
    "linguistics": """grammar, vowels, word order, dialects, syntax trees, morphemes, child language, intonation, pronouns, loanwords, sign languages,
        verb agreement, creoles, discourse markers, phonemes, bilingual speakers, metaphor, tense, compounds, politeness""",
    "computer_security": """passwords, malware, encryption, phishing, intrusion detection, side channels, key exchange, botnets, firewalls, sandboxing,
        buffer overflows, access control, hash functions, ransomware, secure enclaves, fuzzing, spam filters, certificates, honeypots,
        differential privacy""",
}

PRODUCTS: dict[str, str] = {
    "kitchen": "pan, kettle, blender, cutlery set, chopping board, toaster, whisk, casserole dish, rolling pin, colander, ladle, mandoline, spice jars",
    "toys": "puzzle, doll, train set, building blocks, kite, board game, teddy bear, spinning top, marble run, puppet, yo-yo, dollhouse, toy drum",
    "tools": "hammer, drill, screwdriver set, wrench, saw, ladder, spirit level, pliers, sander, clamp, chisel, socket set, workbench, rasp",
    "garden": "spade, hose, lawn mower, flower pots, rake, hedge trimmer, seed tray, sprinkler, wheelbarrow, trowel, cold frame, secateurs",
    "office": "stapler, desk lamp, notebook, printer paper, folder, fountain pen, whiteboard, paper clips, hole punch, file cabinet, desk organizer",
    "baby": "stroller, bottle warmer, crib, diapers, pacifier, baby monitor, high chair, bib, changing mat, rattle, car seat, teething ring",
    "sports": "tennis racket, yoga mat, dumbbells, football, running vest, helmet, skipping rope, swimming goggles, golf club, kettlebell, ski poles",
    "beauty": "lipstick, face cream, shampoo, nail polish, mascara, perfume, hair dryer, sunscreen, hand balm, eyebrow pencil, bath salts, clay mask",
    "music": "guitar, keyboard stand, violin bow, drumsticks, ukulele, metronome, flute, amplifier, music stand, harmonica, saxophone reed, capo",
    "pets": "dog bed, cat litter, fish tank, leash, bird cage, chew bone, scratching post, hamster wheel, dog bowl, flea comb, horse brush",
    "electronics": "headphones, tablet, router, webcam, power bank, monitor, memory card, smart plug, soundbar, e-reader, projector, charger",
    "clothing": "jacket, shirt, jeans, scarf, woollen socks, raincoat, cardigan, sun hat, leather belt, mittens, pyjamas, waistcoat, bathrobe",
    "furniture": "sofa, bookshelf, dining table, wardrobe, armchair, bed frame, stool, coffee table, chest of drawers, sideboard, hammock, nightstand",
    "car_parts": "wiper blades, floor mats, motor oil, spark plugs, brake pads, roof rack, dash camera, tyre gauge, jump leads, seat covers, fuse box",
    "food": "olive oil, green tea, chocolate, coffee beans, honey, pasta, dried fruit, hot sauce, oat bars, peanut butter, maple syrup, lentils",
    "books": "novel, cookbook, atlas, poetry book, dictionary, thriller, travel guide, picture book, biography, crime story, comic, anthology",
    "health": "vitamins, thermometer, bandages, blood pressure cuff, massage roller, heating pad, cough syrup, pill box, knee brace, first aid kit",
    "travel": "suitcase, neck pillow, backpack, passport holder, travel adapter, luggage tag, sleeping mask, money belt, packing cubes, duffel bag",
    "camping": "tent, sleeping bag, camping stove, lantern, water filter, folding chair, headlamp, cool box, compass, bivouac sack, fire starter",
    "crafts": "yarn, knitting needles, acrylic paint, glue gun, beads, embroidery hoop, watercolours, scrapbook, origami paper, sewing kit, easel, felt",
}

ONTOLOGY: dict[str, str] = {
    "company": """a software company, a bank, a carmaker, a brewery, an insurance firm, a publisher, a shipping line, a retail chain, a foundry, a
        family-owned manufacturer of clocks, a logistics group, an airline, a confectioner, a bicycle maker""",
    "school": """a primary school, a university, a boarding school, a secondary school, a college of art, a music academy, a technical institute,
        a seminary, a grammar school, a teacher-training college, a business school, a kindergarten""",
    "artist": """a painter, a singer, a sculptor, a composer, a jazz drummer, a ceramicist, an engraver, a folk guitarist, a portrait photographer,
        an opera soprano, a printmaker, a choreographer, a cellist, a muralist""",
    "athlete": """a footballer, a tennis player, a swimmer, a sprinter, a goalkeeper, a rower, a fencer, a cyclist, a high jumper, a cricketer,
        a figure skater, a judoka, a weightlifter, a decathlete""",
    "politician": """a politician, a mayor, a senator, a diplomat, a member of parliament, a former governor, a party leader, a city councillor,
        a minister of finance, a statesman, a campaigner for land reform who won a seat, a premier""",
    "building": """a church, a castle, a skyscraper, a lighthouse, a theatre, a town hall, a windmill, a railway station, a manor house, a library
        with a copper dome, a covered market, a chapel, a grain store, a fortress""",
    "river_or_lake": """a river, a lake, a tributary, a reservoir, a mountain stream, a lagoon, a creek, a glacial lake, an estuary, a brackish pond,
        a river with nine bridges, a crater lake, a tidal inlet""",
    "mountain": """a mountain, a volcano, a peak, a mountain range, an extinct volcano, a summit with a weather station, a ridge, a granite dome,
        a massif, a glacier-covered peak, a rocky spur, a plateau""",
    "village": """a village, a hamlet, a small town, a fishing village, a parish, a farming settlement, a market town, a mining village, a commune,
        a mountain village with a well, a municipality, a former railway halt with forty houses""",
    "animal": """a beetle, a fish, a bird, a moth, a lizard, a frog, a sea snail, a bat, a land crab, a wading bird, a species of shrew, a spider,
        a freshwater mussel, a small antelope""",
    "plant": """a flower, a tree, a shrub, a fern, an orchid, a grass, a cactus, a climbing vine, a moss, an evergreen conifer, a herb with blue
        petals, a species of oak, a succulent, a water lily""",
    "film": """a film, a comedy film, a silent film, a thriller directed by two brothers, a documentary, a western, a drama film, an animated film,
        a horror film, a short film, a musical film, a crime drama for the screen""",
    "album": """an album, a studio album, a live album, a debut album, a compilation, a jazz record, an EP, a soundtrack album, a double album,
        a collection of piano pieces, a concept album, a record of sea shanties""",
    "written_work": """a novel, a newspaper, a book of poems, a monthly magazine, an essay, a fantasy trilogy, a scientific journal, a comic series,
        a cookery book, a diary, a pamphlet, a travelogue, a children's book""",
    "vehicle": """a car, a locomotive, a warship, an aircraft, a motorcycle, a glider, a submarine, a tram, a light truck, a paddle steamer, a helicopter,
        a racing car, a sailing yacht, a tank engine""",
}

BANKS = {
    "news": SUBJECTS, "questions": SUBJECTS, "snippets": SUBJECTS, "social": SUBJECTS,
    "science": SCIENCE, "products": PRODUCTS, "ontology": ONTOLOGY,
}  # fmt: skip
